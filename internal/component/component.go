// SPDX-License-Identifier: Apache-2.0

// Package component makes reconbeat a component of the Elastic Agents that are installed on this host: it puts the
// binary and its specification into the folder in which an Agent finds what it can run.
//
// Each version of an Agent has such a folder of its own, below data in the Agent's home; an upgrade brings a new one.
// An Agent does not start while a specification stands there without its binary. So the binary comes first, and goes
// last.
package component

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Specification says how an Agent runs the binary: the file reconbeat.spec.yml.
//
//go:embed reconbeat.spec.yml
var Specification []byte

// Homes are where Agents are installed: by `elastic-agent install`, and by their deb and rpm.
var Homes = []string{"/opt/Elastic/Agent", "/var/lib/elastic-agent"}

// The files of the component. The Agent finds the binary by the specification's name.
const (
	binaryName        = "reconbeat"
	specificationName = "reconbeat.spec.yml"
)

// State is what a version of an Agent has of the component.
type State int

// What a version of an Agent may have.
const (
	Absent  State = iota
	Current       // this binary, with its specification
	Other         // another binary or specification
	Broken        // a specification without a binary, with which an Agent does not start
)

// String is the state as people read it.
func (s State) String() string {
	switch s {
	case Current:
		return "installed"
	case Other:
		return "another version of reconbeat is installed"
	case Broken:
		return "a specification without a binary: the Agent does not start with it"
	}
	return "not installed"
}

// Place is the folder of one version of an Agent in which its components are.
type Place struct {
	Home    string // the Agent's
	Version string // the version's folder, such as elastic-agent-9.1.2-1a2b3c
	Folder  string
}

// Find finds every version of an Agent in these homes. There may be none.
func Find(homes []string) (places []Place, err error) {
	for _, home := range homes {
		found, err := filepath.Glob(filepath.Join(quoted(home), "data", "elastic-agent-*", "components"))
		if err != nil {
			return nil, fmt.Errorf("searching for an Elastic Agent in %s: %w", home, err)
		}
		for _, folder := range found {
			if about, err := os.Stat(folder); err == nil && about.IsDir() {
				places = append(places, Place{Home: home, Version: filepath.Base(filepath.Dir(folder)), Folder: folder})
			}
		}
	}
	return places, nil
}

// Unpacking are the folders of versions in which there are no components yet: an Agent that is being upgraded unpacks
// the new version there.
func Unpacking(homes []string) (folders []string, err error) {
	for _, home := range homes {
		found, err := filepath.Glob(filepath.Join(quoted(home), "data", "elastic-agent-*"))
		if err != nil {
			return nil, fmt.Errorf("searching for an Elastic Agent in %s: %w", home, err)
		}
		for _, folder := range found {
			about, err := os.Stat(folder)
			if err != nil || !about.IsDir() {
				continue
			}
			if _, err := os.Stat(filepath.Join(folder, "components")); errors.Is(err, fs.ErrNotExist) {
				folders = append(folders, folder)
			}
		}
	}
	return folders, nil
}

// quoted is a path in a pattern that means the path.
func quoted(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// State is what the place has of the component, compared with a binary.
func (p Place) State(binary string) (State, error) {
	there, errBinary := digest(filepath.Join(p.Folder, binaryName))
	specification, errSpecification := os.ReadFile(filepath.Join(p.Folder, specificationName))
	noBinary := errors.Is(errBinary, fs.ErrNotExist)
	switch {
	case errBinary != nil && !noBinary:
		return Absent, fmt.Errorf("reading the component: %w", errBinary)
	case errors.Is(errSpecification, fs.ErrNotExist):
		return Absent, nil // an Agent passes over a binary without one
	case errSpecification != nil:
		return Absent, fmt.Errorf("reading the component: %w", errSpecification)
	case noBinary:
		return Broken, nil
	}
	own, err := digest(binary)
	if err != nil {
		return Absent, fmt.Errorf("reading reconbeat: %w", err)
	}
	if own != there || !bytes.Equal(specification, Specification) {
		return Other, nil
	}
	return Current, nil
}

func digest(file string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(file)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// Install puts a binary and its specification into the place. They belong to whom the folder does, as an Agent wants
// it that runs as a user of its own.
func (p Place) Install(binary string) error {
	from, err := os.Open(binary)
	if err != nil {
		return fmt.Errorf("reading reconbeat: %w", err)
	}
	defer from.Close()
	if err := p.put(binaryName, from, 0o755); err != nil {
		return err
	}
	return p.put(specificationName, bytes.NewReader(Specification), 0o644)
}

// put writes a file of the place, which is whole at any time.
func (p Place) put(name string, content io.Reader, mode fs.FileMode) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing %s: %w", filepath.Join(p.Folder, name), err)
		}
	}()
	f, err := os.CreateTemp(p.Folder, "."+name+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // where it has not become the file
	defer f.Close()
	if _, err := io.Copy(f, content); err != nil {
		return err
	}
	owner, err := os.Stat(p.Folder)
	if err != nil {
		return err
	}
	if of, ok := owner.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		if err := f.Chown(int(of.Uid), int(of.Gid)); err != nil {
			return err
		}
	}
	if err := errors.Join(f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(p.Folder, name))
}

// Remove takes the component out of the place, and reports whether there was any of it. What it has learned stays: it
// is in the Agent's folder of what its components keep.
func (p Place) Remove() (removed bool, err error) {
	for _, name := range []string{specificationName, binaryName} {
		err := os.Remove(filepath.Join(p.Folder, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return removed, fmt.Errorf("removing the component: %w", err)
		}
		removed = removed || err == nil
	}
	return removed, nil
}
