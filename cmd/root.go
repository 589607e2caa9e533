// SPDX-License-Identifier: Apache-2.0

// Package cmd is the command line of reconbeat. libbeat's own commands are run, setup, export, modules, test config,
// test output and keystore; ours are watch, replay, alerts, feedback, model, controls, exception, windows, approve,
// agent, diagnostics, and test modules, rules, controls, alert and notify. The hooks that libbeat wants before it
// starts (settings, fields, the output behind `watch`, the management under an Elastic Agent) are set here and nowhere
// else.
package cmd

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/elastic/beats/v7/libbeat/asset"
	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/cfgfile"
	libcmd "github.com/elastic/beats/v7/libbeat/cmd"
	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/elastic/beats/v7/libbeat/management"
	"github.com/elastic/beats/v7/libbeat/publisher/processing"
	"github.com/elastic/beats/v7/libbeat/version"
	"github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/elastic/elastic-agent-libs/paths"

	reconfig "github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/dataset"
	"github.com/reconbeat/reconbeat/internal/include"
	"github.com/reconbeat/reconbeat/internal/managed"
)

// Name is the Beat's name: of the binary, of the configuration's root key, and of the fields' prefix.
const Name = "reconbeat"

// Version is set by the build; the value here is what `go run` and `go install` show.
var Version = "0.1.0"

// ecsVersion is the oldest Elastic Common Schema that has every field of ours, none of them deprecated. libbeat's own
// says 8.0.0, which has no entry leader.
const ecsVersion = "9.0.0"

// Settings returns what libbeat must know of the Beat. host.* is not libbeat's to add: documents of other hosts, which
// module ndjson reads, would get this host's name.
func Settings() instance.Settings {
	return instance.Settings{
		Name:          Name,
		Version:       Version,
		HasDashboards: true,
		Processing: processing.MakeDefaultSupport(true, nil,
			processing.WithFields(mapstr.M{"ecs": mapstr.M{"version": ecsVersion}}), processing.WithAgentMeta()),
		ConfigOverrides: []cfgfile.ConditionalOverride{
			{Check: queueUnset, Config: immediateQueue()},
			{Check: rejectionUnset, Config: keepRejected()},
			{Check: runsPrograms, Config: filterForPrograms()},
		},
	}
}

// immediateQueue hands every event to the output at once. libbeat's default gathers events for 10 s, far too late for
// an alert.
func immediateQueue() *config.C {
	return config.MustNewConfigFrom(map[string]any{"queue.mem.flush": map[string]any{"min_events": 1, "timeout": 0}})
}

// queueUnset reports whether the user said nothing of the queue, so that ours is the default.
func queueUnset(c *config.C) bool {
	if c.HasField("queue") {
		return false
	}
	out, err := c.Child("output", -1)
	if err != nil {
		return true
	}
	for _, name := range out.GetFields() {
		if o, err := out.Child(name, -1); err == nil && o.Enabled() && o.HasField("queue") {
			return false
		}
	}
	return true
}

// keepRejected has the Elasticsearch output put what Elasticsearch refuses to index into a data stream of its own.
// libbeat's default drops it.
func keepRejected() *config.C {
	return config.MustNewConfigFrom(map[string]any{
		"output.elasticsearch.non_indexable_policy.dead_letter_index.index": dataset.Rejected.Stream(
			"${reconbeat.dataset:"+dataset.Prefix+"}", "${reconbeat.namespace:"+dataset.Namespace+"}"),
	})
}

// rejectionUnset reports whether the output is Elasticsearch and the user said nothing of what it refuses.
func rejectionUnset(c *config.C) bool {
	out, err := c.Child("output.elasticsearch", -1)
	return err == nil && !out.HasField("non_indexable_policy")
}

// runsPrograms reports whether alerts are delivered to a program, and the user said nothing of the filter of system
// calls.
func runsPrograms(c *config.C) bool {
	if c.HasField("seccomp") {
		return false
	}
	var own struct {
		Notify []*config.C `config:"reconbeat.notify"`
	}
	if err := c.Unpack(&own); err != nil {
		return false // it is reported when it is read
	}
	return slices.ContainsFunc(own.Notify, func(item *config.C) bool { return item.HasField("program") })
}

// filterForPrograms refuses what no program that reads an alert needs. A program inherits the filter: libbeat's allows
// what a Beat needs, which is neither another user nor a group of processes.
func filterForPrograms() *config.C {
	return config.MustNewConfigFrom(map[string]any{"seccomp": map[string]any{
		"default_action": "allow",
		// libbeat reads this over its own policy, whose one group keeps its names.
		"syscalls": []map[string]any{{"action": "allow"}, {"action": "errno", "names": []string{
			"acct", "add_key", "bpf", "delete_module", "finit_module", "init_module", "kexec_load", "keyctl", "mount",
			"open_by_handle_at", "perf_event_open", "pivot_root", "process_vm_readv", "process_vm_writev", "ptrace",
			"quotactl", "reboot", "request_key", "setns", "swapoff", "swapon", "umount2", "unshare", "userfaultfd",
		}}},
	}})
}

// NewRootCommand makes the whole command line.
func NewRootCommand() *libcmd.BeatsRootCmd { return RootCommand(Settings()) }

// RootCommand makes the whole command line of a binary with more linked in, whose settings are not quite Settings().
func RootCommand(settings instance.Settings) *libcmd.BeatsRootCmd {
	if err := asset.SetFields(Name, "fields.yml", asset.BeatFieldsPri, include.Fields); err != nil {
		panic(err) // only a second registration of the same name fails
	}
	management.SetManagerFactory(managed.Factory(settings.Version)) // used where an Elastic Agent runs this
	s := &stackSetup{}
	settings.IndexManagement = s.support
	root := libcmd.GenRootCmdWithSettings(s.create, settings)
	replaceExports(root, settings)
	p := &places{}
	root.PersistentPreRunE = p.settle
	root.Short = "Alerts when an unusual user looks at this host's network connections"
	root.Long = long
	root.SilenceUsage = true
	addRules(root.SetupCmd, settings)
	root.AddCommand(newModulesCommand(settings))
	root.AddCommand(newWatchCommand(settings, p), newReplayCommand(settings, p), newModelCommand(settings),
		newControlsCommand(settings, p), newExceptionCommand(settings), newWindowsCommand(), newApproveCommand(settings),
		newAlertsCommand(settings), newFeedbackCommand(settings),
		newAgentCommand(), newDiagnosticsCommand())
	root.TestCmd.AddCommand(newTestModulesCommand(), newTestRulesCommand(settings, p), newTestControlsCommand(settings, p),
		newTestAlertCommand(settings, s), newTestNotifyCommand(settings))
	root.RemoveCommand(root.CompletionCmd) // cobra's own knows more shells
	root.InitDefaultCompletionCmd()
	root.TestCmd.Short = "Test the configuration, the output, and whatever else an alert depends on"
	askBeforeSecrets(root.KeystoreCmd, s)
	refuseUnknown(root)
	complete(root, settings, p)
	exemplify(&root.Command)
	root.Version = settings.Version
	root.SetVersionTemplate(versionLine(settings.Version))
	return root
}

const long = `reconbeat watches every program start on this host, recognises commands that look at network
connections (ATT&CK T1049: netstat, ss, route, showmount), learns who uses them, and ships an
ECS alert within milliseconds when an unusual user does.

  reconbeat watch --demo   see an alert, now, without configuration
  reconbeat watch          see every match on this host as it happens
  reconbeat -e -c FILE     run as a Beat, with FILE as its configuration
  reconbeat replay FILE    judge a recorded audit.log or NDJSON of other agents
  reconbeat alerts list    the alerts of this host
  reconbeat feedback       say that an alert was benign or malicious
  reconbeat model show     who does this here, and how
  reconbeat test modules   which sources of program starts work on this host
  reconbeat test alert     whether an alert arrives at the configured output
  reconbeat test notify    whether it arrives at each target of reconbeat.notify
  reconbeat test rules     what each rule means, and why a command matches or not
  reconbeat test controls  what each control means, and what it would hold back
  reconbeat approve        approve work that would alert, until a time
  reconbeat agent install  have Elastic Agents on this host run reconbeat
  reconbeat diagnostics    everything that a helper needs to know, in one archive`

// versionLine is what the command version prints.
func versionLine(number string) string {
	built := "unknown"
	if at := version.BuildTime(); !at.IsZero() {
		built = at.String()
	}
	return fmt.Sprintf("%s version %s (%s), libbeat %s [%s built %s] (FIPS-distribution: %v)\n",
		Name, number, runtime.GOARCH, version.GetDefaultVersion(), version.Commit(), built, version.FIPSDistribution)
}

// modulesManager finds the files that `modules list|enable|disable` manage.
func modulesManager(b *beat.Beat) (libcmd.ModulesManager, error) {
	cfg, err := reconfig.Parse(b.BeatConfig)
	if err != nil {
		return nil, err
	}
	glob := cfg.ConfigModules.Path
	if glob == "" {
		return nil, errors.New("reconbeat.config.modules.path is not set: there is no folder of modules to manage")
	}
	if !filepath.IsAbs(glob) {
		glob = b.Paths.Resolve(paths.Config, glob)
	}
	return cfgfile.NewGlobManager(glob, ".yml", ".disabled", b.Info.Logger)
}
