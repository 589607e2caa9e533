// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"flag"
	"os"
	"testing"

	filebeat "github.com/elastic/beats/v7/filebeat/beater"
	"github.com/elastic/beats/v7/filebeat/input/filestream"
	v2 "github.com/elastic/beats/v7/filebeat/input/v2"
	"github.com/elastic/beats/v7/libbeat/beat"
	libcmd "github.com/elastic/beats/v7/libbeat/cmd"
	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/elastic/beats/v7/libbeat/processors"
	"github.com/elastic/beats/v7/libbeat/publisher/processing"
	"github.com/elastic/beats/v7/libbeat/statestore"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/elastic/elastic-agent-libs/paths"

	"github.com/reconbeat/reconbeat/cmd"
)

// as in the environment makes the test binary be reconbeat, or Filebeat, so that the tests run both for real without a
// build of their own.
const as = "RECONBEAT_TEST_AS"

// scratch is a folder of this run of the tests.
var scratch string

var update = flag.Bool("update", false, "write the generated files anew")

func TestMain(m *testing.M) {
	var command interface{ Execute() error }
	switch os.Getenv(as) {
	case "reconbeat":
		command = cmd.NewRootCommand()
	case "filebeat":
		command = newFilebeat()
	default:
		var err error
		if scratch, err = os.MkdirTemp("", "reconbeat-integration-"); err != nil {
			panic(err)
		}
		code := m.Run()
		_ = os.RemoveAll(scratch)
		os.Exit(code)
	}
	if err := command.Execute(); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// newFilebeat is the Filebeat that an Elastic Agent runs, with the one input that the package uses and the processor of
// its own that changes our documents.
func newFilebeat() *libcmd.BeatsRootCmd {
	own, err := processors.NewPluginConfigFromList(
		[]mapstr.M{{"add_host_metadata": mapstr.M{"when.not.contains.tags": "forwarded"}}})
	if err != nil {
		panic(err)
	}
	inputs := func(_ beat.Info, logger *logp.Logger, store statestore.States, _ *paths.Path) []v2.Plugin {
		return []v2.Plugin{filestream.Plugin(logger, store)}
	}
	return libcmd.GenRootCmdWithSettings(filebeat.New(inputs), instance.Settings{
		Name: "filebeat",
		Processing: processing.MakeDefaultSupport(true, own, processing.WithECS, processing.WithHost,
			processing.WithAgentMeta()),
	})
}
