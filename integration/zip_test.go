// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"archive/zip"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/cmd"
)

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
	}
	for _, name := range []string{"manifest.yml", "changelog.yml", "LICENSE.txt", "docs/README.md", "data_stream/alert/manifest.yml", "data_stream/health/agent/stream/filestream.yml.hbs"} {
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
