// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/elastic/beats/v7/libbeat/asset"
	"github.com/elastic/beats/v7/libbeat/beat"
	libcmd "github.com/elastic/beats/v7/libbeat/cmd"
	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/elastic/beats/v7/libbeat/idxmgmt"
	"github.com/elastic/beats/v7/libbeat/management"
	"github.com/elastic/beats/v7/libbeat/outputs/elasticsearch"
	"github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/paths"
	"github.com/spf13/cobra"

	"github.com/reconbeat/reconbeat/beater"
	reconfig "github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/datastream"
)

// stackSetup brings what Elasticsearch must know of the data streams into libbeat's commands. libbeat asks for the
// index management before it makes the Beat.
type stackSetup struct {
	setup   *datastream.Setup
	secrets bool // a command of the keystore runs, by which secrets come that the configuration refers to
}

// support reads the whole configuration, which only the index management is given.
func (s *stackSetup) support(_ *logp.Logger, info beat.Info, root *config.C) (idxmgmt.Supporter, error) {
	fields, err := asset.GetFields(Name)
	if err != nil {
		return nil, fmt.Errorf("reading the fields: %w", err)
	}
	if s.secrets {
		root = config.NewConfig()
	}
	if err := checkFile(info, root); err != nil {
		return nil, err
	}
	if s.setup, err = datastream.ReadSetup(info, root, fields); err != nil {
		if errOurs := checkOurs(info, root); errOurs != nil { // it reads our section, too
			err = errOurs
		}
		return nil, err
	}
	return s.setup.Support(), nil
}

// checkFile reports what is wrong outside our section before libbeat fails on the first such thing, and with it what is
// wrong in ours. An Elastic Agent has no file.
func checkFile(info beat.Info, root *config.C) error {
	if root == nil || management.UnderAgent() {
		return nil
	}
	if errFile := reconfig.CheckFile(root); errFile != nil {
		return errors.Join(errFile, checkOurs(info, root))
	}
	return nil // New checks our section
}

// checkOurs reports what is wrong in our section and in the files that it names.
func checkOurs(info beat.Info, root *config.C) error {
	var section *config.C
	if root.HasField(Name) {
		var err error
		if section, err = root.Child(Name, -1); err != nil || section.IsArray() {
			return nil //nolint:nilerr // checkFile has reported that it is no section
		}
	}
	manager, err := management.NewManager(nil, nil, info.Logger)
	if err != nil {
		return err
	}
	_, err = beater.New(&beat.Beat{Info: info, Paths: paths.Paths, Manager: manager}, section)
	return err
}

// create makes the Beat, and hooks the installation of assets into `setup` and into the output. Under Elastic Agent,
// Fleet installs them.
func (s *stackSetup) create(b *beat.Beat, c *config.C) (beat.Beater, error) {
	if b.InSetupCmd {
		if err := removeSetupFlags(c); err != nil {
			return nil, err
		}
	}
	if err := s.hook(b); err != nil {
		return nil, err
	}
	made, err := beater.New(b, c)
	if err == nil {
		err = warnOfGroups(b.Info.Logger, c)
	}
	return made, err
}

// warnOfGroups logs what is probably a mistake in how alerts are grouped.
func warnOfGroups(log *logp.Logger, c *config.C) error {
	cfg, err := reconfig.Parse(c)
	if err != nil || len(cfg.Detector.Episode.GroupBy) == 0 {
		return err
	}
	known, err := fieldTypes()
	if err != nil {
		return err
	}
	for _, note := range unknownGroups(cfg, known) {
		log.Warn(note)
	}
	return nil
}

// hook has what Elasticsearch lacks installed when the output connects.
func (s *stackSetup) hook(b *beat.Beat) error {
	if s.setup == nil || b.Manager.Enabled() {
		return nil
	}
	b.OverwritePipelinesCallback = s.setup.Pipelines
	if !s.setup.Template.Enabled {
		return nil
	}
	if _, err := elasticsearch.RegisterConnectCallback(s.setup.Connected); err != nil {
		return fmt.Errorf("registering the installation of templates: %w", err)
	}
	return nil
}

// removeSetupFlags takes out what libbeat's `setup` puts into the Beat's configuration for Filebeat's modules; to ours
// it would be settings that do not exist. It takes it out of the very configuration: a copy has lost what
// ${path.config} refers to.
func removeSetupFlags(c *config.C) error {
	modules, err := c.Child("config.modules", -1)
	if err != nil {
		return nil // nothing is there
	}
	for _, flag := range []string{"force_enable_module_filesets", "enable_all_filesets"} {
		if modules.HasField(flag) {
			if _, err := modules.Remove(flag, -1); err != nil {
				return fmt.Errorf("removing %s: %w", flag, err)
			}
		}
	}
	return nil
}

// replaceExports puts exports of our assets in the place of libbeat's, which know of one template and one policy.
func replaceExports(root *libcmd.BeatsRootCmd, settings instance.Settings) {
	for _, c := range root.ExportCmd.Commands() {
		if c.Name() == "template" || c.Name() == "ilm-policy" {
			root.ExportCmd.RemoveCommand(c)
		}
	}
	root.ExportCmd.AddCommand(
		newExportCommand(settings, "template", "Export the index templates and their component templates",
			datastream.ComponentTemplate, datastream.IndexTemplate),
		newExportCommand(settings, "ilm-policy", "Export the lifecycle policies", datastream.Policy),
		newExportCommand(settings, "pipeline", "Export the ingest pipeline", datastream.Pipeline),
	)
}

func newExportCommand(settings instance.Settings, use, short string, types ...datastream.Type) *cobra.Command {
	var dir string
	var serverless bool
	c := &cobra.Command{
		Use:   use,
		Short: short,
		Long: short + `, as they are for the configuration at hand: as requests for the console of
Kibana's Dev Tools, or, with --dir, one JSON file an asset.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s := &stackSetup{}
			settings.IndexManagement = s.support
			if _, err := configured(settings); err != nil {
				return fmt.Errorf("reading the configuration: %w", err)
			}
			assets, err := s.setup.Assets(serverless)
			if err != nil {
				return err
			}
			return export(cmd.OutOrStdout(), dir, datastream.Of(assets, types...))
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "folder to write to, one file an asset; empty: stdout")
	c.Flags().
		BoolVar(&serverless, "serverless", false, "as for Elastic Cloud Serverless, where data streams have a "+
			"lifecycle of their own instead of policies")
	return c
}

func export(w io.Writer, dir string, assets []datastream.Asset) error {
	for _, a := range assets {
		body, err := json.MarshalIndent(a.Body, "", "  ")
		if err != nil {
			return fmt.Errorf("encoding %s: %w", a.Path(), err)
		}
		body = append(body, '\n')
		if dir == "" {
			if _, err := fmt.Fprintf(w, "PUT %s\n%s\n", a.Path(), body); err != nil {
				return err
			}
			continue
		}
		file := filepath.Join(dir, filepath.FromSlash(a.Path())+".json")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, body, 0o644); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(w, "Wrote "+file); err != nil {
			return err
		}
	}
	return nil
}
