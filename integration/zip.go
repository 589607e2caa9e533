// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"archive/zip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v3"
)

// packed is the time of every file in the zip: the same package gives the same bytes. A zip file knows no time before 1980.
var packed = time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC)

// Zip writes the package in dir into a folder as NAME-VERSION.zip, in the layout that Kibana takes by upload, and returns the file's name. What is for
// development only, _dev, stays out.
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
		in, err := files.Open(name)
		if err != nil {
			return err
		}
		defer in.Close()
		_, err = io.Copy(w, in)
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
