// SPDX-License-Identifier: Apache-2.0

package datastream

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/beat/events"
	"github.com/elastic/beats/v7/libbeat/esleg/eslegclient"
	"github.com/elastic/beats/v7/libbeat/idxmgmt"
	"github.com/elastic/beats/v7/libbeat/outputs"
	"github.com/elastic/beats/v7/libbeat/outputs/outil"
	"github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"

	"github.com/reconbeat/reconbeat/internal/dataset"
)

// Setup is what of the Beat's whole configuration says how assets are made and installed.
type Setup struct {
	Dataset  string `config:"reconbeat.dataset"`
	Template struct {
		// false: neither templates nor pipeline are installed when the output connects
		Enabled   bool `config:"enabled"`
		Overwrite bool `config:"overwrite"` // they are installed at every connect, not only when missing or older
		Settings  struct {
			Index map[string]any `config:"index"` // settings of every index
		} `config:"settings"`
	} `config:"setup.template"`
	ILM struct {
		Enabled   bool `config:"enabled"`   // false: documents are kept for ever
		Overwrite bool `config:"overwrite"` // policies that are there are replaced
	} `config:"setup.ilm"`
	Output config.Namespace `config:"output"`

	info   beat.Info
	fields []byte
	logger *logp.Logger
}

// ReadSetup reads the Beat's whole configuration. fields is fields.yml.
func ReadSetup(info beat.Info, root *config.C, fields []byte) (*Setup, error) {
	s := &Setup{Dataset: dataset.Prefix, info: info, fields: fields, logger: info.Logger.Named("index-management")}
	s.Template.Enabled, s.ILM.Enabled = true, true
	if root == nil {
		return s, nil
	}
	if err := root.Unpack(s); err != nil {
		return nil, fmt.Errorf("reading setup.template and setup.ilm: %w", err)
	}
	return s, nil
}

// Assets makes the assets for a cluster.
func (s *Setup) Assets(serverless bool) ([]Asset, error) {
	return Make(Options{
		Dataset:    s.Dataset,
		Version:    s.info.Version,
		Fields:     s.fields,
		Settings:   s.Template.Settings.Index,
		Lifecycle:  s.ILM.Enabled,
		Serverless: serverless,
	})
}

// Connected installs what is missing or older when an output has connected. A user who may not install lets it ship all
// the same: an alert is worth more than its mapping.
func (s *Setup) Connected(c *eslegclient.Connection, _ *logp.Logger) error {
	assets, err := s.Assets(c.IsServerless())
	if err != nil {
		return err
	}
	missing := s.Template.Overwrite
	if !missing {
		missing, err = Missing(c, assets)
	}
	if err == nil && missing {
		if err = Install(c, assets, s.ILM.Overwrite); err == nil {
			s.logger.Infof(
				"the templates, policies and pipeline of %s's data streams were missing or older, and are installed",
				s.Dataset)
		}
	}
	if errors.Is(err, ErrForbidden) {
		s.logger.Warnf(
			"the templates of the data streams are not installed: %v. Documents ship all the same; run `reconbeat "+
				"setup` as a user who may, or set setup.template.enabled: false",
			err,
		)
		return nil
	}
	return err
}

// install connects to the output's Elasticsearch and writes the assets of some types.
func (s *Setup) install(output *config.C, types ...Type) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c, err := eslegclient.NewConnectedClient(ctx, output, s.info.Beat, s.logger)
	if err != nil {
		return err
	}
	defer c.Close()
	assets, err := s.Assets(c.IsServerless())
	if err != nil {
		return err
	}
	return Install(c, Of(assets, types...), s.ILM.Overwrite)
}

// Pipelines installs the ingest pipeline: `setup --pipelines`.
func (s *Setup) Pipelines(output *config.C) error { return s.install(output, Pipeline) }

// Support is the index management that libbeat is given in place of its own, which makes one template and one data
// stream.
func (s *Setup) Support() idxmgmt.Supporter { return support{s} }

// support is libbeat's view of a Setup.
type support struct{ setup *Setup }

// Enabled says that libbeat has nothing to install when its output connects: Connected does.
func (s support) Enabled() bool { return false }

// Manager returns what `setup --index-management` drives.
func (s support) Manager(idxmgmt.ClientHandler, idxmgmt.Asseter) idxmgmt.Manager { return s }

// VerifySetup has nothing to warn of.
func (s support) VerifySetup(_, _ idxmgmt.LoadMode) (bool, string) { return true, "" }

// Setup installs everything. The templates name the pipeline, so that it comes with them.
func (s support) Setup(_, _ idxmgmt.LoadMode) error {
	return s.setup.install(s.setup.Output.Config(), Pipeline, Policy, ComponentTemplate, IndexTemplate)
}

// BuildSelector makes what chooses a document's index: its module's or processor's own, else the output's, else its
// data stream.
func (s support) BuildSelector(output *config.C) (outputs.IndexSelector, error) {
	c := config.NewConfig()
	if err := c.SetString("index", -1, "logs-%{[data_stream.dataset]}-%{[data_stream.namespace]}"); err != nil {
		return nil, err
	}
	for _, name := range []string{"index", "indices"} {
		if !output.HasField(name) {
			continue
		}
		var err error
		if name == "index" {
			var index string
			if index, err = output.String(name, -1); err == nil {
				err = c.SetString(name, -1, index)
			}
		} else {
			var list *config.C
			if list, err = output.Child(name, -1); err == nil {
				err = c.SetChild(name, -1, list)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s of the output: %w", name, err)
		}
	}
	sel, err := outil.BuildSelectorFromConfig(
		c,
		outil.Settings{
			Key:              "index",
			MultiKey:         "indices",
			EnableSingleOnly: true,
			FailEmpty:        true,
			Case:             outil.SelectorLowerCase,
		},
		s.setup.logger,
	)
	if err != nil {
		return nil, fmt.Errorf("reading the index of the output: %w", err)
	}
	return selector{sel}, nil
}

type selector struct{ configured outil.Selector }

// Select chooses the index of a document.
func (s selector) Select(e *beat.Event) (string, error) {
	for _, name := range []string{events.FieldMetaIndex, events.FieldMetaRawIndex} {
		if index, err := events.GetMetaStringValue(*e, name); err == nil {
			return strings.ToLower(index), nil
		}
	}
	return s.configured.Select(e)
}
