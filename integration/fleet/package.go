// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// Manifest is what of a package's manifest, or of one of its data streams', becomes part of a policy.
type Manifest struct {
	Name            string           `yaml:"name"`
	Version         string           `yaml:"version"`
	Type            string           `yaml:"type"`
	Dataset         string           `yaml:"dataset"`
	PolicyTemplates []PolicyTemplate `yaml:"policy_templates"`
	Streams         []Stream         `yaml:"streams"`
	Elasticsearch   struct {
		DynamicDataset   bool `yaml:"dynamic_dataset"`
		DynamicNamespace bool `yaml:"dynamic_namespace"`
		Privileges       struct {
			Indices []string `yaml:"indices"`
		} `yaml:"privileges"`
	} `yaml:"elasticsearch"`
}

// PolicyTemplate is one of the things that somebody can add to a policy.
type PolicyTemplate struct {
	Name        string   `yaml:"name"`
	DataStreams []string `yaml:"data_streams"`
	Inputs      []Input  `yaml:"inputs"`
}

// Input is an input of the Agent, and the options that all its streams share.
type Input struct {
	Type         string     `yaml:"type"`
	TemplatePath string     `yaml:"template_path"`
	Vars         []Variable `yaml:"vars"`
}

// Stream is an input's part in a data stream, with its own options.
type Stream struct {
	Input        string     `yaml:"input"`
	TemplatePath string     `yaml:"template_path"`
	Enabled      *bool      `yaml:"enabled"` // nil is true
	Vars         []Variable `yaml:"vars"`
}

// Package is a package with one policy template.
type Package struct {
	Manifest
	Template PolicyTemplate

	dir         string
	dataStreams []dataStream // of the policy template, in its order
}

// dataStream is a data stream of a package, by its folder.
type dataStream struct {
	folder string
	Manifest
}

// Read reads the package in a folder.
func Read(dir string) (*Package, error) {
	p := &Package{dir: dir}
	if err := readManifest(&p.Manifest, dir); err != nil {
		return nil, err
	}
	if n := len(p.PolicyTemplates); n != 1 {
		return nil, fmt.Errorf("the package in %s has %d policy templates, not one", dir, n)
	}
	p.Template = p.PolicyTemplates[0]
	for _, folder := range p.Template.DataStreams {
		d := dataStream{folder: folder}
		if err := readManifest(&d.Manifest, dir, "data_stream", folder); err != nil {
			return nil, err
		}
		p.dataStreams = append(p.dataStreams, d)
	}
	return p, nil
}

func readManifest(m *Manifest, path ...string) error {
	text, err := os.ReadFile(filepath.Join(append(path, "manifest.yml")...))
	if err != nil {
		return fmt.Errorf("reading a package's manifest: %w", err)
	}
	if err := yaml.Unmarshal(text, m); err != nil {
		return fmt.Errorf("reading the manifest of %s: %w", filepath.Join(path...), err)
	}
	return nil
}

// Input is the policy template's input of a type.
func (p *Package) Input(kind string) (Input, bool) {
	for _, in := range p.Template.Inputs {
		if in.Type == kind {
			return in, true
		}
	}
	return Input{}, false
}

// stream is the part that an input has in a data stream.
func (d dataStream) stream(input string) (Stream, bool) {
	for _, s := range d.Streams {
		if s.Input == input {
			return s, true
		}
	}
	return Stream{}, false
}

// Stream is the part that an input has in the data stream of a folder.
func (p *Package) Stream(folder, input string) (Stream, bool) {
	for _, d := range p.dataStreams {
		if d.folder == folder {
			return d.stream(input)
		}
	}
	return Stream{}, false
}
