// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/cmd"
)

// stored looks that everything which Kibana stores as a string of JSON is one, in the panels, too.
func stored(t *testing.T, at string, v any) {
	t.Helper()
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			if strings.HasSuffix(key, "JSON") {
				text, ok := inner.(string)
				require.True(t, ok, "%s.%s", at, key)
				require.NoError(t, json.Unmarshal([]byte(text), &inner), "%s.%s", at, key)
			}
			stored(t, at+"."+key, inner)
		}
	case []any:
		for i, inner := range v {
			stored(t, fmt.Sprintf("%s[%d]", at, i), inner)
		}
	}
}

func TestTheZipIsWhatKibanaTakes(t *testing.T) {
	first, err := Zip(dir, t.TempDir())
	require.NoError(t, err)
	z, err := zip.OpenReader(first)
	require.NoError(t, err)
	defer z.Close()
	names := map[string]bool{}
	for _, f := range z.File {
		root, name, _ := strings.Cut(f.Name, "/")
		assert.Equal(t, "reconbeat-"+cmd.Version, root)
		assert.NotContains(t, name, "_dev/")
		names[name] = true
		if strings.HasPrefix(name, "kibana/dashboard/") {
			in, err := f.Open()
			require.NoError(t, err)
			var dashboard any
			require.NoError(t, json.NewDecoder(in).Decode(&dashboard))
			stored(t, name, dashboard)
		}
	}
	for _, name := range []string{"manifest.yml", "changelog.yml", "LICENSE.txt", "docs/README.md",
		"data_stream/alert/manifest.yml", "data_stream/health/agent/stream/filestream.yml.hbs",
		"data_stream/rejected/agent/stream/reconbeat.yml.hbs", "agent/input/reconbeat.yml.hbs"} {
		assert.Contains(t, names, name)
	}
	second, err := Zip(dir, t.TempDir())
	require.NoError(t, err)
	one, err := os.ReadFile(first)
	require.NoError(t, err)
	two, err := os.ReadFile(second)
	require.NoError(t, err)
	assert.Equal(t, one, two, "the same package, the same bytes")
}

func TestTheImagesAreWhatTheManifestSays(t *testing.T) {
	manifest := read[struct {
		Icons, Screenshots []struct{ Src, Size, Type string }
	}](t, filepath.Join(dir, "manifest.yml"))
	require.NotEmpty(t, manifest.Screenshots)
	for _, image := range append(manifest.Icons, manifest.Screenshots...) {
		data, err := os.ReadFile(filepath.Join(dir, image.Src))
		require.NoError(t, err)
		if image.Type == "image/png" {
			picture, err := png.DecodeConfig(bytes.NewReader(data))
			require.NoError(t, err, image.Src)
			assert.Equal(t, image.Size, fmt.Sprintf("%dx%d", picture.Width, picture.Height), image.Src)
			continue
		}
		assert.Equal(t, "image/svg+xml", image.Type, image.Src)
		var svg struct {
			Width  string `xml:"width,attr"`
			Height string `xml:"height,attr"`
		}
		require.NoError(t, xml.Unmarshal(data, &svg), image.Src)
		assert.Equal(t, image.Size, svg.Width+"x"+svg.Height, image.Src)
	}
}
