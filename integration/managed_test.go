// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/integration/fleet"
	"github.com/reconbeat/reconbeat/internal/agent/wire"
	"github.com/reconbeat/reconbeat/internal/agenttest"
	"github.com/reconbeat/reconbeat/internal/beattest"
	"github.com/reconbeat/reconbeat/internal/dataset"
	"github.com/reconbeat/reconbeat/internal/livetest"
	"github.com/reconbeat/reconbeat/internal/managed"
	"github.com/reconbeat/reconbeat/module/catalog"
)

// choices are what somebody has chosen in Kibana when they let the Agent run reconbeat.
type choices struct {
	policy  string         // the id that Fleet gives it; empty: one of the tests'
	options map[string]any // by the name of the variable
	off     []string       // the data streams that are switched off
}

// chosen is the package, and the policy of it that these choices make.
func chosen(t *testing.T, c choices) (*fleet.Package, *fleet.Policy) {
	t.Helper()
	p, err := fleet.Read(dir)
	require.NoError(t, err)
	policy := p.Defaults(cmp.Or(c.policy, "2f0c6a52-policy"), "lab")
	policy.Switch("filestream", false)
	policy.Switch("reconbeat", true)
	for name, value := range c.options {
		require.NoError(t, policy.Set("reconbeat", name, value))
	}
	for _, stream := range c.off {
		require.NoError(t, policy.SwitchStream("reconbeat", "reconbeat."+stream, false))
	}
	require.Empty(t, p.Missing(policy))
	return p, policy
}

// unit is what Fleet and the Agent make of an input, with a global tag of the Agent's policy.
func unit(t *testing.T, a *agenttest.Agent, c choices) *wire.ExpectedUnit {
	t.Helper()
	p, policy := chosen(t, c)
	return a.Unit(wire.Kind_KIND_INPUT, onlyInput(t, p, policy))
}

// onlyInput is the YAML of the one input that Fleet makes of a policy.
func onlyInput(t *testing.T, p *fleet.Package, policy *fleet.Policy) string {
	t.Helper()
	inputs, err := p.Inputs(policy)
	require.NoError(t, err)
	require.Len(t, inputs, 1, "one of the two is switched on")
	require.Equal(t, "reconbeat", inputs[0]["type"])
	inputs[0]["processors"] = []any{addFields("", map[string]any{"site": "north"})}
	text, err := yaml.Marshal(inputs[0])
	require.NoError(t, err)
	return string(text)
}

// watched is what reconbeat makes of it: the whole Beat, and the one module. Every stream is accepted.
func watched(t *testing.T, c choices) (config.Config, mapstr.M) {
	t.Helper()
	p, policy := chosen(t, c)
	return accepted(t, onlyInput(t, p, policy))
}

// accepted has reconbeat's management read an input.
func accepted(t *testing.T, input string) (config.Config, mapstr.M) {
	t.Helper()
	configs, err := managed.Modules(agenttest.Configuration(t, input))
	require.NoError(t, err)
	var whole config.Config
	var module mapstr.M
	for _, c := range configs {
		s, err := config.ParseStream(c.Config)
		require.NoError(t, err)
		require.Empty(t, s.Unknown)
		if !s.Module.Enabled() {
			continue
		}
		require.Nil(t, module, "two modules")
		whole = s.Whole
		require.NoError(t, s.Module.Unpack(&module))
	}
	require.NotNil(t, module)
	return whole, module
}

func TestTheTemplatesDefaultsAreReconbeats(t *testing.T) {
	whole, module := watched(t, choices{})
	rules, err := config.LoadRules("", whole.Detector.Rules)
	require.NoError(t, err)
	shipped, err := config.LoadRules("", nil)
	require.NoError(t, err)
	require.Equal(t, shipped, rules)
	require.Len(t, whole.Detector.Rules, len(shipped), "each rule has its options")
	want := config.Default()
	want.Namespace, want.Detector.Rules = "lab", whole.Detector.Rules
	require.Equal(t, want, whole)
	require.Equal(t, mapstr.M{
		"id":                 "reconbeat-reconbeat.alert-2f0c6a52-policy",
		"module":             "auto",
		"fields_under_root":  false,
		"keep_null":          false,
		"publisher_pipeline": map[string]any{"disable_host": false},
		"processors": []any{
			map[string]any{"add_fields": map[string]any{"target": "", "fields": map[string]any{"site": "north"}}},
		},
	}, module)
}

// option is a variable of the input reconbeat, with a value that is not its default.
type option struct {
	name    string
	value   any
	setting string // of policy.reference.yml
	want    any    // what that is then; nil: the value
	only    string // the modules that take it; empty: all
}

var optionsOfTheTemplate = []option{
	{name: "exceptions_path", value: "/etc/reconbeat/own exceptions", setting: "controls.exceptions_path"},
	{name: "windows_path", value: "/etc/reconbeat/own windows", setting: "controls.windows_path"},
	{name: "onboarding_path", value: "/etc/reconbeat/own newcomers", setting: "controls.onboarding_path"},
	{name: "exceptions_reload", value: false, setting: "controls.reload.enabled"},
	{name: "exceptions_reload_period", value: "20s", setting: "controls.reload.period"},
	{name: "rules_path", value: "/etc/reconbeat/own rules", setting: "detector.rules_path"},
	{name: "model", value: "rare", setting: "detector.model"},
	{name: "actor", value: "user", setting: "detector.actor"},
	{name: "timezone", value: "Europe/Berlin", setting: "detector.timezone"},
	{name: "learn_for", value: "48h", setting: "detector.learn_for"},
	{name: "half_life", value: "1440h", setting: "detector.half_life"},
	{name: "habit_days", value: "7", setting: "detector.habit.days", want: 7.0},
	{name: "habit_span", value: "240h", setting: "detector.habit.span"},
	{name: "episode_idle", value: "5m", setting: "detector.episode.idle"},
	{name: "feedback_hosts", value: []any{"https://es:9200"}, setting: "feedback.from_kibana.hosts"},
	{name: "feedback_username", value: "reader", setting: "feedback.from_kibana.username"},
	{name: "feedback_password", value: "it's secret", setting: "feedback.from_kibana.password"},
	{name: "feedback_proxy_url", value: "http://proxy:3128", setting: "feedback.from_kibana.proxy_url"},
	{name: "feedback_timeout", value: "20s", setting: "feedback.from_kibana.timeout"},
	{name: "feedback_space", value: "soc", setting: "feedback.from_kibana.space"},
	{name: "feedback_period", value: "5m", setting: "feedback.from_kibana.period"},
	{name: "feedback_benign", value: []any{"ours"}, setting: "feedback.from_kibana.benign"},
	{name: "feedback_malicious", value: []any{"theirs"}, setting: "feedback.from_kibana.malicious"},
	{name: "feedback_unsure", value: []any{"later"}, setting: "feedback.from_kibana.unsure"},
	{name: "feedback_api_key", value: "id:secret", setting: "feedback.from_kibana.api_key"},
	{
		name: "feedback_ssl", value: "verification_mode: none", setting: "feedback.from_kibana.ssl",
		want: map[string]any{"verification_mode": "none"},
	},
	{name: "known_software", value: []any{"lynis", "sos-report"}, setting: "controls.known_software"},
	{name: "episode_max", value: "12h", setting: "detector.episode.max"},
	{
		name: "episode_group_by", value: []any{"user.name", "process.name"}, setting: "detector.episode.group_by",
	},
	{name: "episode_missing_fields", value: "doNotSuppress", setting: "detector.episode.missing_fields_strategy"},
	{name: "limit_alerts", value: "50", setting: "detector.limit.alerts", want: 50.0},
	{name: "limit_per", value: "30m", setting: "detector.limit.per"},
	{name: "correlation_enabled", value: false, setting: "detector.correlation.enabled"},
	{name: "correlation_window", value: "1h", setting: "detector.correlation.window"},
	{name: "severity", value: "banded", setting: "detector.severity"},
	{name: "bucket_span", value: "30m", setting: "detector.bucket_span"},
	{name: "max_users", value: "500", setting: "detector.max_users", want: 500.0},
	{name: "max_hosts", value: "500", setting: "detector.max_hosts", want: 500.0},
	{name: "dataset", value: "lookbeat", setting: "dataset"},
	{name: "events", value: "all", setting: "events"},
	{name: "heartbeat_period", value: "5m", setting: "heartbeat.period"},
	{name: "id", value: "the host's", setting: "id"},
	{
		name:    "path",
		value:   "/srv/it's #1: documents.ndjson",
		setting: "paths",
		want:    []any{"/srv/it's #1: documents.ndjson"},
		only:    "auditlog ndjson",
	},
	{name: "from", value: "beginning", setting: "from", only: "auditlog ndjson"},
	{name: "dispatcher_socket", value: "/run/audit/events", setting: "socket", only: "audisp"},
	{name: "dispatcher_log", value: "/srv/audit.log", setting: "log", only: "audisp"},
	{name: "socket_type", value: "multicast", setting: "socket_type", only: "auditd"},
	{name: "socket_buffer", value: "1048576", setting: "socket_buffer", want: 1048576.0, only: "auditd procconn"},
	{name: "backlog_limit", value: "4096", setting: "backlog_limit", want: 4096.0, only: "auditd"},
	{name: "load_rules", value: false, setting: "load_rules", only: "auditd"},
	{
		name: "cluster_hosts", value: []any{"https://a:9200", "https://b:9200"}, setting: "hosts", only: "elasticsearch",
	},
	{name: "cluster_indices", value: []any{"shipped-*"}, setting: "indices", only: "elasticsearch"},
	{name: "cluster_username", value: "it's me", setting: "username", only: "elasticsearch"},
	{name: "cluster_password", value: "a: 'b", setting: "password", only: "elasticsearch"},
	{name: "cluster_api_key", value: "id:secret", setting: "api_key", only: "elasticsearch"},
	{
		name: "cluster_ssl", value: "verification_mode: none", setting: "ssl",
		want: map[string]any{"verification_mode": "none"}, only: "elasticsearch",
	},
	{name: "cluster_proxy_url", value: "http://proxy:3128", setting: "proxy_url", only: "elasticsearch"},
	{name: "cluster_timeout", value: "30s", setting: "timeout", only: "elasticsearch"},
	{name: "cluster_from", value: "now-7d", setting: "from", only: "elasticsearch"},
	{name: "cluster_order_by", value: "@timestamp", setting: "order_by", only: "elasticsearch"},
	{name: "cluster_query_delay", value: "10s", setting: "query_delay", only: "elasticsearch"},
	{name: "cluster_period", value: "5s", setting: "period", only: "elasticsearch"},
	{name: "cluster_page_size", value: "500", setting: "page_size", want: 500.0, only: "elasticsearch"},
	{name: "cluster_late_within", value: "1h", setting: "late_within", only: "elasticsearch"},
	{name: "cluster_parents_within", value: "48h", setting: "parents_within", only: "elasticsearch"},
	{name: "cluster_partition", value: "2/8", setting: "partition", only: "elasticsearch"},
	{name: "cluster_backoff_init", value: "2s", setting: "backoff_init", only: "elasticsearch"},
	{name: "cluster_backoff_max", value: "2m", setting: "backoff_max", only: "elasticsearch"},
	{name: "tags", value: []any{"dmz", "a: b"}, setting: "tags"},
	{name: "fields", value: "team: blue", setting: "fields", want: map[string]any{"team": "blue"}},
	{name: "fields_under_root", value: true, setting: "fields_under_root"},
	{name: "processors", value: "- drop_event.when.equals.user.name: backup\n", setting: "processors", want: []any{
		map[string]any{"add_fields": map[string]any{"target": "", "fields": map[string]any{"site": "north"}}},
		map[string]any{
			"drop_event": map[string]any{
				"when": map[string]any{"equals": map[string]any{"user": map[string]any{"name": "backup"}}},
			},
		},
	}},
	{name: "index", value: "private-%{+yyyy.MM}", setting: "index"},
	{name: "pipeline", value: "enrich", setting: "pipeline"},
	{name: "keep_null", value: true, setting: "keep_null"},
	{name: "disable_host", value: true, setting: "publisher_pipeline.disable_host"},
}

// everyOption sets everything that a module takes.
func everyOption(module string) map[string]any {
	all := map[string]any{
		"module": module,
		"rules":  "- id: network-connection-discovery\n  severity: high\n- id: sudo-use\n  threshold: 62.5\n",
		"exceptions": "- id: from-fleet\n  expires: 2030-01-01\n  conditions:\n" +
			"  - field: user.name\n    is: backup\n",
		"windows":    "- id: night\n  start: 2026-12-01\n  duration: 1d\n  rrule: FREQ=WEEKLY\n",
		"onboarding": "- id: new\n  users:\n  - carol\n  expires: 2030-01-01\n",
	}
	for _, o := range optionsOfTheTemplate {
		if o.only == "" || slices.Contains(strings.Fields(o.only), module) {
			all[o.name] = o.value
		}
	}
	rules, _ := config.LoadRules("", nil)
	for _, r := range rules {
		name := strings.ReplaceAll(r.ID, "-", "_")
		all[name+"_enabled"], all[name+"_threshold"] = !r.Enabled, "60"
	}
	return all
}

func TestEverySettingIsAnOptionOfTheTemplate(t *testing.T) {
	p, err := fleet.Read(dir)
	require.NoError(t, err)
	in, has := p.Input("reconbeat")
	require.True(t, has)
	vars := in.Vars
	for _, name := range p.Template.DataStreams {
		stream, has := p.Stream(name, "reconbeat")
		require.True(t, has, name)
		vars = append(vars, stream.Vars...)
	}
	reached := map[string]bool{
		"controls.exceptions": true, "controls.windows": true, "controls.onboarding": true,
		"detector.rules": true, "module": true,
		"enabled": true, // the switches of the input and of its streams
	}
	tried := map[string]bool{}
	for _, module := range []string{
		"auto", "audisp", "auditd", "auditlog", "procconn", "ndjson", "elasticsearch",
	} {
		all := everyOption(module)
		for name := range all {
			tried[name] = true
		}
		whole, got := watched(t, choices{options: all})
		rules, err := config.LoadRules("", whole.Detector.Rules)
		require.NoError(t, err)
		for i, shipped := range first(config.LoadRules("", nil)) {
			want := 60.0
			if shipped.ID == "sudo-use" {
				want = 62.5
			}
			require.Equal(t, !shipped.Enabled, rules[i].Enabled, shipped.ID)
			require.Equal(t, want, rules[i].Threshold, shipped.ID)
		}
		require.Equal(t, "high", rules[0].Severity)
		require.Len(t, whole.Controls.Exceptions, 1)
		require.Equal(t, "from-fleet", first(whole.Controls.Exceptions[0].String("id", -1)))
		items, err := whole.ControlItems(config.ControlFolders{}, nil)
		require.NoError(t, err)
		require.Equal(t, "FREQ=WEEKLY", items.Windows[0].Rule.String())
		require.Equal(t, "2026-12-01", items.Windows[0].Start.String(), "a day without quotes is a day")
		require.Equal(t, "2030-01-01", string(items.Newcomers[0].Expires))
		require.Equal(t, "2030-01-01", string(items.Exceptions[0].Expires))

		p, policy := chosen(t, choices{options: all})
		configs, err := managed.Modules(agenttest.Configuration(t, onlyInput(t, p, policy)))
		require.NoError(t, err)
		var stream mapstr.M
		require.NoError(t, configs[0].Config.Unpack(&stream))
		require.Equal(t, module, got["module"])
		for _, o := range optionsOfTheTemplate {
			if _, set := all[o.name]; !set {
				continue
			}
			want := o.want
			if want == nil {
				want = o.value
			}
			value, err := stream.GetValue(o.setting)
			require.NoError(t, err, "%s of %s", o.setting, module)
			require.Equal(t, want, value, "%s of %s", o.setting, module)
			reached[o.setting] = true
		}
	}
	for _, v := range vars {
		require.True(t, tried[v.Name], "%s is an option that this test does not choose", v.Name)
		require.NotEmpty(t, v.Title, v.Name)
		require.NotEmpty(t, v.Description, v.Name)
		require.Equal(t, v.Required, v.Default != nil,
			"%s: what has a default must not be emptied, what has none may be", v.Name)
		if value, text := v.Default.(string); v.Type == "select" {
			require.True(t, text && slices.ContainsFunc(v.Options, func(o struct {
				Value string `yaml:"value"`
			}) bool {
				return o.Value == value
			}), v.Name)
		}
	}

	input := mapstr.M(reference(t))
	streams, _ := input["streams"].([]any)
	// the Agent's and Fleet's
	for _, key := range []string{"id", "type", "use_output", "data_stream.namespace", "streams"} {
		require.NoError(t, input.Delete(key))
	}
	for _, settings := range append(streams, map[string]any(input)) {
		for setting := range mapstr.M(settings.(map[string]any)).Flatten() {
			ours := slices.ContainsFunc(slices.Collect(maps.Keys(reached)),
				func(o string) bool { return setting == o || strings.HasPrefix(setting, o+".") })
			require.True(t, ours, "%s of the reference is not an option", setting)
		}
	}
}

// commented is a line of the reference that is a setting in a comment; prose has one blank after the #.
var commented = regexp.MustCompile(`^(\s*)#(\S.*|  .*)$`)

// reference is the reference of policies with every setting out of its comment: an input.
func reference(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile("policy.reference.yml")
	require.NoError(t, err)
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		b.WriteString(commented.ReplaceAllString(strings.TrimSuffix(line, "\n"), "$1$2") + "\n")
	}
	var policy struct{ Inputs []map[string]any }
	require.NoError(t, yaml.Unmarshal([]byte(b.String()), &policy), b.String())
	require.Len(t, policy.Inputs, 1)
	return policy.Inputs[0]
}

func first[T any](v T, _ error) T { return v }

func TestWhatIsSwitchedOffInFleetIsNotMade(t *testing.T) {
	for _, row := range []struct {
		name      string
		off       []string
		events    string
		heartbeat bool
	}{
		{"with everything on, everything ships", nil, "all", true},
		{"without process events none ships", []string{"process"}, "none", true},
		{"without health no heartbeat ships", []string{"health"}, "all", false},
		{"alerts alone are enough", []string{"process", "health", "rejected"}, "none", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			whole, _ := watched(t, choices{options: map[string]any{"events": "all"}, off: row.off})
			require.Equal(t, row.events, whole.Events)
			require.Equal(t, row.heartbeat, whole.Heartbeat.Period > 0)
		})
	}
}

// permitted is whether an Agent may write to a data stream.
func permitted(all []fleet.Permission, stream string) bool {
	return slices.ContainsFunc(all, func(one fleet.Permission) bool {
		matches, _ := path.Match(one.Name, stream)
		return matches && slices.Contains(one.Privileges, "create_doc")
	})
}

// TestTheAgentMayWriteWhatReconbeatWrites holds that a policy permits every data stream that reconbeat has documents
// for, and no other.
func TestTheAgentMayWriteWhatReconbeatWrites(t *testing.T) {
	// What Elasticsearch refuses under an Agent: beater's ownOutput.
	rejected := dataset.Rejected.Stream(dataset.Prefix, dataset.Namespace)
	for _, prefix := range []string{dataset.Prefix, "lookbeat"} {
		p, policy := chosen(t, choices{options: map[string]any{"dataset": prefix}})
		permissions, err := p.Permissions(policy)
		require.NoError(t, err)
		require.Len(t, permissions, len(dataset.Kinds()))
		for _, kind := range dataset.Shipped() {
			assert.True(t, permitted(permissions, kind.Stream(prefix, "lab")), "%s of %s: %v", kind, prefix, permissions)
		}
		assert.True(t, permitted(permissions, rejected), "%v", permissions)
		assert.False(t, permitted(permissions, "logs-other-lab"))
		for _, one := range permissions {
			assert.Equal(t, []string{"auto_configure", "create_doc"}, one.Privileges, one.Name)
		}
	}
	p, err := fleet.Read(dir)
	require.NoError(t, err)
	permissions, err := p.Permissions(p.Defaults("files", "lab"))
	require.NoError(t, err)
	require.Len(t, permissions, len(dataset.Shipped()))
	for _, kind := range dataset.Shipped() {
		assert.True(t, permitted(permissions, kind.Stream(dataset.Prefix, "lab")), kind)
	}
}

// host is a folder in which an Agent runs reconbeat.
type host struct {
	*beattest.Host
	*agenttest.Agent
	t *testing.T
}

func newHost(t *testing.T) *host {
	return &host{Host: beattest.NewHost(t), Agent: agenttest.New(t), t: t}
}

// command makes a command of reconbeat on this host.
func (h *host) command(args ...string) *exec.Cmd {
	for _, path := range []string{"home", "config"} {
		args = append(args, "-E", "path."+path+"="+h.Dir)
	}
	c := exec.Command(os.Args[0], append(args, "-E", "path.data="+filepath.Join(h.Dir, "data"))...)
	c.Env = append(os.Environ(), as+"=reconbeat")
	return c
}

// agentRun is one life of reconbeat under an Agent.
type agentRun struct {
	*beattest.Run
	h *host
}

// start runs reconbeat as an Agent does.
func (h *host) start() *agentRun {
	c := h.command("-E", "setup.ilm.enabled=false", "-E", "setup.template.enabled=false",
		"-E", "management.enabled=true", "-E", "management.restart_on_output_change=true",
		"-E", "logging.level=info", "-E", "logging.to_stderr=true")
	c.Stdin = bytes.NewReader(h.Agent.Start())
	return &agentRun{h.Host.Start(c), h}
}

// learn has sixty days learned in which root's agent runs ss every hour.
func (h *host) learn() {
	history, file := h.History("root"), filepath.Join(h.Dir, "reconbeat.yml")
	require.NoError(h.t, os.WriteFile(file, []byte("output.file: {path: unused}\n"), 0o600))
	out, err := h.command("replay", "--learn", "--yes", "--module", "ndjson", history, "-c", file).CombinedOutput()
	require.NoError(h.t, err, string(out))
}

// fleet is what Fleet and the Agent make of choices.
func (h *host) fleet(c choices) *wire.ExpectedUnit { return unit(h.t, h.Agent, c) }

// output is the policy's output: a file.
func (h *host) output() *wire.ExpectedUnit {
	return h.Unit(wire.Kind_KIND_OUTPUT,
		fmt.Sprintf("{id: out, type: file, path: %q, filename: out, permissions: 0600}", h.Dir))
}

// becomes waits until a unit is in a state by the newest configuration, with this in its message, which it returns.
func (r *agentRun) becomes(unit, state, message string) string {
	r.h.t.Helper()
	return r.h.Becomes(r.Until, unit, state, message)
}

// ownAudit waits for the kernel's audit, which is one for the whole machine, and skips the test where it cannot be had.
func ownAudit(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: THE LIVE TEST NEEDS ROOT: it loads audit rules")
	}
	if _, err := exec.LookPath("auditctl"); err != nil {
		t.Skip("SKIPPED: THE LIVE TEST NEEDS auditctl (Debian: auditd)")
	}
	livetest.LockAudit(t)
	if out, err := exec.Command("auditctl", "-s").CombinedOutput(); err != nil ||
		!strings.Contains(string(out), "\npid 0\n") {
		t.Skipf("SKIPPED: THE LIVE TEST NEEDS THE KERNEL'S AUDIT WITH NO OTHER OWNER: %v %s", err, out)
	}
}

func TestTheTemplatesDefaultsRun(t *testing.T) {
	ownAudit(t)
	h := newHost(t)
	r := h.start()
	one := h.fleet(choices{})
	h.Expect(h.output(), one)
	r.becomes(one.Id, "HEALTHY", "Healthy")
	require.Contains(t, h.Diagnose(one.Id)["beat-rendered-config.yml"], "module: auto")
	require.NoError(t, r.Signal(syscall.SIGTERM))
}

// TestFleetsPolicyRuns has an Agent run what Fleet makes of the template when everything is chosen.
func TestFleetsPolicyRuns(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.learn()
	r := h.start()
	every := everyOption("ndjson")
	every["path"], every["model"] = h.Input(), "context"
	every["network_connection_discovery_enabled"], every["network_connection_discovery_threshold"] = true, "5"
	for _, name := range []string{"index", "pipeline", "rules_path", "feedback_hosts"} { // whose cluster does not answer
		delete(every, name)
	}
	good := h.fleet(choices{options: every})
	id := good.Id
	h.Expect(h.output(), good)
	r.becomes(id, "HEALTHY", "Healthy")
	h.Exec("root", "ss -s")
	exec := r.Shipped("out", "exec", "root", 1)[0]
	r.Shipped("out", "heartbeat", "", 1)
	require.Equal(t, "north", beattest.Field(exec, "site"), "a global tag of the policy")
	require.Equal(t, "[dmz a: b]", beattest.Field(exec, "tags"))
	h.Exec("mallory", "ss -tunap")
	require.Equal(t, "blue", beattest.Field(r.Shipped("out", "alert", "mallory", 1)[0], "team"))
	p, policy := chosen(t, choices{options: every})
	permissions, err := p.Permissions(policy)
	require.NoError(t, err)
	for _, doc := range h.Documents("out") {
		stream := beattest.Field(doc, "data_stream.type") + "-" + beattest.Field(doc, "data_stream.dataset") + "-" +
			beattest.Field(doc, "data_stream.namespace")
		require.True(t, permitted(permissions, stream), "the policy permits no %s", stream)
	}

	with := func(name string, value any) map[string]any {
		changed := maps.Clone(every)
		changed[name] = value
		return changed
	}
	t.Log("what is wrong in an option is reported at the unit")
	wrong := with("learn_for", "2000h")
	wrong["heartbeat_period"] = "1ms"
	h.Expect(h.output(), h.fleet(choices{options: wrong}))
	message := r.becomes(id, "FAILED", "the policy is not applied, the last good one runs on")
	require.Contains(t, message, "reconbeat.detector.learn_for: 2000h0m0s is not allowed; it must be 0 to 720h")
	require.Contains(t, message, "reconbeat.heartbeat.period: 1ms is not allowed")

	t.Log("an option of another module is reported, and so is that there are no alerts")
	h.Expect(h.output(), h.fleet(choices{options: with("socket_buffer", "4096")}))
	r.becomes(id, "FAILED", "socket_buffer: no such setting")
	h.Expect(h.output(), h.fleet(choices{options: every, off: []string{"alert"}}))
	r.becomes(id, "FAILED", "has no stream with a module; in Fleet, the data stream of alerts must be switched on")

	t.Log("the other modules take what the template makes for them: only the one mistake is reported")
	for _, module := range []string{"audisp", "auditd", "auditlog", "elasticsearch", "procconn"} {
		all := everyOption(module)
		all["actor"] = module + "'s"
		delete(all, "rules_path")
		delete(all, "cluster_api_key") // a user is set, too
		delete(all, "feedback_api_key")
		h.Expect(h.output(), h.fleet(choices{options: all}))
		message := r.becomes(id, "FAILED", fmt.Sprintf("reconbeat.detector.actor: %q is not allowed", module+"'s"))
		require.Equal(t, 1, strings.Count(message, "not allowed")+strings.Count(message, "no such setting"), message)
	}

	t.Log("without process events and health, alerts alone ship")
	h.Expect(h.output(), h.fleet(choices{options: every, off: []string{"process", "health"}}))
	r.becomes(id, "HEALTHY", "Healthy")
	h.Exec("eve", "ss -tunap")
	r.Shipped("out", "alert", "eve", 1)
	require.NoError(t, r.Signal(syscall.SIGTERM))
	require.Empty(t, h.Find("out", "exec", "eve"))
}

// TestAddedTwiceThereAreTwoSources has an Agent's policy with the package twice: each is a source, and what holds of
// the whole Beat must be the same in both.
func TestAddedTwiceThereAreTwoSources(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	other := filepath.Join(h.Dir, "other.ndjson")
	require.NoError(t, os.WriteFile(other, []byte(beattest.Line(time.Now(), "peggy", "ss -s")+"\n"), 0o600))
	r := h.start()
	source := func(policy, path, threshold string) *wire.ExpectedUnit {
		return h.fleet(choices{
			policy: policy,
			options: map[string]any{
				"module":                                 "ndjson",
				"path":                                   path,
				"from":                                   "beginning",
				"network_connection_discovery_threshold": threshold,
			},
		})
	}
	one, two := source("one", h.Input(), "40"), source("two", other, "40")
	h.Expect(h.output(), one, two)
	r.becomes(one.Id, "HEALTHY", "Healthy")
	r.becomes(two.Id, "HEALTHY", "Healthy")
	h.Exec("root", "ss -s")
	r.Shipped("out", "exec", "root", 1)
	r.Shipped("out", "exec", "peggy", 1)

	h.Expect(h.output(), one, source("two", other, "60"))
	for _, id := range []string{one.Id, two.Id} {
		message := r.becomes(id, "FAILED", "detector.rules.network-connection-discovery.threshold: ")
		require.Contains(t, message, "it is a setting of the whole Beat, so all streams must say the same")
	}
	require.NoError(t, r.Signal(syscall.SIGTERM))
}

// TestTheReferenceOfPoliciesIsTrue has every setting of it read by whoever reads it, and an Agent run one of its
// streams with everything that its input says.
func TestTheReferenceOfPoliciesIsTrue(t *testing.T) {
	input := reference(t)
	text, err := yaml.Marshal(input)
	require.NoError(t, err)
	configs, err := managed.Modules(agenttest.Configuration(t, string(text)))
	require.NoError(t, err)
	require.Len(t, configs, 1+len(catalog.All()), "auto and every module")
	for _, c := range configs {
		s, err := config.ParseStream(c.Config)
		require.NoError(t, err)
		require.NotEmpty(t, s.Whole.Detector.Rules)
		require.Empty(t, s.Unknown)
		_, err = config.ParseModule(s.Module)
		require.NoError(t, err)
	}
	given := configs[0].Config.FlattenedKeys()
	for _, key := range config.WholeBeat {
		require.True(t, slices.ContainsFunc(given, func(k string) bool { return strings.HasPrefix(k, key) }),
			"%s is missing", key)
	}

	h := newHost(t)
	input["streams"] = slices.DeleteFunc(input["streams"].([]any),
		func(s any) bool { return s.(map[string]any)["module"] != "ndjson" })
	input["streams"].([]any)[0].(map[string]any)["paths"] = []any{h.Input()}
	input["id"] = "in"
	// No Kibana is here to be asked, and the reference has two ways to log in to one.
	input["feedback.from_kibana"].(map[string]any)["enabled"] = false
	text, err = yaml.Marshal(input)
	require.NoError(t, err)
	r := h.start()
	h.Expect(h.output(), h.Unit(wire.Kind_KIND_INPUT, string(text)))
	r.becomes("in", "HEALTHY", "Healthy")
	require.NoError(t, r.Signal(syscall.SIGTERM))
}
