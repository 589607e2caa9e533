// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// shared is what data streams have in common, whichever package brings them.
var shared = []string{"elasticsearch", "fields/base-fields.yml", "lifecycle.yml"}

// Component makes in the folder to the Fleet package for reconbeat as a component of the Elastic Agent. Its own part,
// manifests and templates, is the folder own; data streams, what Kibana is given and the icon are those of the package
// in shipped. The rest is made as [Generate] makes it.
func Component(to, own, shipped, root string) error {
	if err := os.RemoveAll(to); err != nil {
		return fmt.Errorf("making the component's Fleet package: %w", err)
	}
	if err := os.CopyFS(to, os.DirFS(own)); err != nil {
		return fmt.Errorf("making the component's Fleet package: %w", err)
	}
	if err := os.CopyFS(filepath.Join(to, "img"), os.DirFS(filepath.Join(shipped, "img"))); err != nil {
		return fmt.Errorf("making the component's Fleet package: %w", err)
	}
	for _, folder := range []string{"docs", "kibana"} {
		if err := os.MkdirAll(filepath.Join(to, folder), 0o755); err != nil {
			return fmt.Errorf("making the component's Fleet package: %w", err)
		}
	}
	for _, stream := range Streams {
		for _, name := range shared {
			if err := copyTree(filepath.Join(to, "data_stream", stream, name),
				filepath.Join(shipped, "data_stream", stream, name)); err != nil {
				return fmt.Errorf("making the data stream %s of the component's Fleet package: %w", stream, err)
			}
		}
	}
	if err := Generate(to, root); err != nil {
		return err
	}
	if err := renameObjects(filepath.Join(to, "kibana")); err != nil {
		return fmt.Errorf("naming what the component's Fleet package brings for Kibana: %w", err)
	}
	return nil
}

// renameObjects gives dashboards and tags ids of the component's package: package-spec wants its name in front, and so
// none is taken for the other package's. The rules lead to it.
func renameObjects(dir string) error {
	ids := []string{`"package": "reconbeat"`, `"package": "` + renamed("reconbeat") + `"`}
	for _, kind := range []string{"dashboard", "tag"} {
		files, err := filepath.Glob(filepath.Join(dir, kind, "*.json"))
		if err != nil {
			return err
		}
		for _, file := range files {
			name := filepath.Base(file)
			id := strings.TrimSuffix(name, ".json")
			ids = append(ids, `"`+id+`"`, `"`+renamed(id)+`"`)
			if err := os.Rename(file, filepath.Join(dir, kind, renamed(name))); err != nil {
				return err
			}
		}
	}
	replacer := strings.NewReplacer(ids...)
	return filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return os.WriteFile(file, []byte(replacer.Replace(string(text))), 0o644)
	})
}

// renamed is an id or a file name of the one package as the other's.
func renamed(id string) string { return "reconbeat_agent" + strings.TrimPrefix(id, "reconbeat") }

// copyTree copies a file or a folder.
func copyTree(to, from string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.CopyFS(to, os.DirFS(from))
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644)
}
