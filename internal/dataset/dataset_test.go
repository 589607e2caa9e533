// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/reconbeat/reconbeat/internal/dataset"
)

func TestNamesOfDataStreams(t *testing.T) {
	require.Equal(t, "logs-reconbeat.alert-default", dataset.Alert.Stream(dataset.Prefix, dataset.Namespace))
	for _, k := range dataset.Kinds() {
		require.Equal(t, k, dataset.Of(k.In("some.where")))
	}
}

// TestTheFleetPackageHasTheSameDataSets holds the package's manifests, which are written by hand, against the table.
func TestTheFleetPackageHasTheSameDataSets(t *testing.T) {
	folder := filepath.Join("..", "..", "integration", "reconbeat", "data_stream")
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	var kinds []dataset.Kind
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(folder, e.Name(), "manifest.yml"))
		require.NoError(t, err)
		var manifest struct{ Dataset, Type string }
		require.NoError(t, yaml.Unmarshal(text, &manifest))
		require.Equal(t, dataset.Type, manifest.Type)
		require.Equal(t, dataset.Kind(e.Name()).In(dataset.Prefix), manifest.Dataset)
		kinds = append(kinds, dataset.Kind(e.Name()))
	}
	require.ElementsMatch(t, dataset.Kinds(), kinds)
}

// TestKibanaAsksForDataSetsThatThereAre reads what tools/kibana, a module of its own, has made of its own names.
func TestKibanaAsksForDataSetsThatThereAre(t *testing.T) {
	named := regexp.MustCompile(
		dataset.Type + `-` + dataset.Prefix + `\.([a-z]+)-|dataset[^a-z]+` + dataset.Prefix + `\.([a-z]+)`,
	)
	var kinds []dataset.Kind
	root := filepath.Join("..", "..", "_meta", "kibana")
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		if d.IsDir() {
			return nil
		}
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, m := range named.FindAllSubmatch(text, -1) {
			kind := dataset.Kind(m[1])
			if kind == "" {
				kind = dataset.Kind(m[2])
			}
			require.Contains(t, dataset.Kinds(), kind, path)
			if !slices.Contains(kinds, kind) {
				kinds = append(kinds, kind)
			}
		}
		return nil
	}))
	require.Subset(t, kinds, dataset.Shipped())
}
