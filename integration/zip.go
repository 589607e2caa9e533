// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/elastic/beats/v7/libbeat/dashboards"
	"github.com/elastic/elastic-agent-libs/logp"
	"go.yaml.in/yaml/v3"
)

// packed is the time of every file in the zip: the same package gives the same bytes. A zip file knows no time before
// 1980.
var packed = time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC)

// Zip writes the package in dir into a folder as NAME-VERSION.zip, in the layout that Kibana takes by upload, and
// returns the file's name. What is for development only, _dev, stays out, and dashboards are as Kibana stores them.
func Zip(dir, folder string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "manifest.yml"))
	if err != nil {
		return "", fmt.Errorf("packing the Fleet package: %w", err)
	}
	var manifest struct {
		Name    string `yaml:"name"`
		Version string `yaml:"version"`
	}
	if err := yaml.Unmarshal(text, &manifest); err != nil {
		return "", fmt.Errorf("packing the Fleet package: manifest.yml: %w", err)
	}
	root := manifest.Name + "-" + manifest.Version
	file := filepath.Join(folder, root+".zip")
	out, err := os.Create(file)
	if err != nil {
		return "", fmt.Errorf("packing the Fleet package: %w", err)
	}
	defer out.Close()
	z := zip.NewWriter(out)
	files := os.DirFS(dir)
	err = fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "_dev":
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		w, err := z.CreateHeader(&zip.FileHeader{Name: path.Join(root, name), Method: zip.Deflate, Modified: packed})
		if err != nil {
			return err
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		if path.Dir(name) == "kibana/dashboard" {
			if text, err = asStored(text); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		_, err = w.Write(text)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("packing the Fleet package: %w", err)
	}
	if err := z.Close(); err != nil {
		return "", fmt.Errorf("packing the Fleet package: %w", err)
	}
	if err := out.Close(); err != nil {
		return "", fmt.Errorf("packing the Fleet package: %w", err)
	}
	return file, nil
}

// asStored makes of a dashboard in lines that a person can read what Kibana stores: panels, options and searches are
// strings of JSON. Who loads a dashboard with `reconbeat setup` has it done by libbeat; Kibana's upload of a package
// does not do it.
func asStored(dashboard []byte) ([]byte, error) {
	stored := dashboards.EncodeJSONObjects(dashboard, logp.NewNopLogger())
	var object struct {
		Attributes struct {
			Panels  string `json:"panelsJSON"`
			Options string `json:"optionsJSON"`
			Meta    struct {
				Search string `json:"searchSourceJSON"`
			} `json:"kibanaSavedObjectMeta"`
		} `json:"attributes"`
	}
	if err := json.Unmarshal(stored, &object); err != nil {
		return nil, fmt.Errorf("libbeat makes no stored dashboard of it: %w", err)
	}
	return stored, nil
}
