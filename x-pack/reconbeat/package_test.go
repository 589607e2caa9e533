// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-client/v7/pkg/proto"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/integration/fleet"
	"github.com/reconbeat/reconbeat/internal/beattest"
)

// choices are what somebody has chosen in Kibana when they added the package to a policy.
type choices struct {
	policy  string         // the id that Fleet gives it; empty: one of the tests'
	options map[string]any // by the name of the variable
	off     []string       // the data streams that are switched off
}

func readManifest(t *testing.T, path ...string) fleet.Manifest {
	text, err := os.ReadFile(filepath.Join(append(append([]string{"package"}, path...), "manifest.yml")...))
	require.NoError(t, err)
	var m fleet.Manifest
	require.NoError(t, yaml.Unmarshal(text, &m))
	return m
}

// fleetInput makes of choices the input that Fleet puts into the Agent's policy:
// x-pack/platform/plugins/shared/fleet/server/services/agent_policies/package_policies_to_agent_inputs.ts of Kibana.
func fleetInput(t *testing.T, c choices) map[string]any {
	id := cmp.Or(c.policy, "2f0c6a52-policy")
	m := readManifest(t)
	template := m.PolicyTemplates[0]
	in := template.Inputs[0]
	render := func(vars []fleet.Variable, path ...string) map[string]any {
		text, err := os.ReadFile(filepath.Join(append([]string{"package"}, path...)...))
		require.NoError(t, err)
		rendered, err := fleet.Render(string(text), vars, c.options)
		require.NoError(t, err)
		return rendered
	}
	var streams []any
	for _, name := range template.DataStreams {
		if slices.Contains(c.off, name) {
			continue
		}
		m := readManifest(t, "data_stream", name)
		rendered := render(slices.Concat(in.Vars, m.Streams[0].Vars), "data_stream", name, "agent", "stream",
			m.Streams[0].TemplatePath)
		stream := map[string]any{"id": "reconbeat-" + m.Dataset + "-" + id}
		maps.Copy(stream, rendered)
		target := map[string]any{"type": m.Type, "dataset": m.Dataset}
		own, _ := rendered["data_stream"].(map[string]any)
		maps.Copy(target, own)
		stream["data_stream"] = target
		streams = append(streams, stream)
	}
	input := map[string]any{
		"id":                "reconbeat-" + template.Name + "-" + id,
		"name":              "reconbeat-1",
		"revision":          1,
		"type":              in.Type,
		"use_output":        "default",
		"package_policy_id": id,
		"data_stream": map[string]any{
			"namespace": "lab",
		},
		"meta": map[string]any{
			"package": map[string]any{"name": m.Name, "version": m.Version, "policy_template": template.Name},
		},
		// Fleet puts the global tags of an Agent's policy here.
		"processors": []any{
			map[string]any{"add_fields": map[string]any{"target": "", "fields": map[string]any{"site": "north"}}},
		},
	}
	maps.Copy(input, render(in.Vars, "agent", "input", in.TemplatePath))
	input["streams"] = streams
	return input
}

// fleetUnit is what the Agent makes of it.
func (a *agent) fleetUnit(c choices) *proto.UnitExpected {
	text, err := yaml.Marshal(fleetInput(a.t, c))
	require.NoError(a.t, err)
	return a.unit(proto.UnitType_INPUT, string(text))
}

// watched is what reconbeat makes of it: the whole Beat, and the one module.
func watched(t *testing.T, c choices) (config.Config, mapstr.M) {
	configs, err := modules((&agent{t: t}).fleetUnit(c).Config, nil)
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

// option is one of the template's variables, with a value that is not its default.
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
		"windows":    "- id: night\n  start: 2026-12-01T22:00\n  duration: 4h\n  rrule: FREQ=WEEKLY\n",
		"onboarding": "- id: new\n  users:\n  - carol\n  expires: \"2030-01-01\"\n",
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
	m := readManifest(t)
	vars := m.PolicyTemplates[0].Inputs[0].Vars
	for _, name := range m.PolicyTemplates[0].DataStreams {
		vars = append(vars, readManifest(t, "data_stream", name).Streams[0].Vars...)
	}
	reached := map[string]bool{
		"controls.exceptions": true, "controls.windows": true, "controls.onboarding": true,
		"detector.rules": true, "module": true,
		"enabled": true, // the switches of the input and of its streams
	}
	chosen := map[string]bool{}
	for _, module := range []string{
		"auto", "audisp", "auditd", "auditlog", "procconn", "ndjson", "elasticsearch",
	} {
		all := everyOption(module)
		for name := range all {
			chosen[name] = true
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
		require.Equal(t, "2030-01-01", string(items.Newcomers[0].Expires))

		configs, err := modules((&agent{t: t}).fleetUnit(choices{options: all}).Config, nil)
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
		require.True(t, chosen[v.Name], "%s is an option that this test does not choose", v.Name)
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

func TestTheTemplatesDefaultsRun(t *testing.T) {
	ownAudit(t)
	h, a := newHost(t), newAgent(t)
	r := h.start(a)
	unit := a.fleetUnit(choices{})
	a.expect(h.output(a, "out"), unit)
	a.wait(r, unit.Id, "HEALTHY", "Healthy")
	require.Contains(t, a.diagnose(unit.Id)["beat-rendered-config.yml"], "module: auto")
	require.NoError(t, r.signal(syscall.SIGTERM))
}

// TestFleetsPolicyRuns has an Agent run what Fleet makes of the template when everything is chosen.
func TestFleetsPolicyRuns(t *testing.T) {
	t.Parallel()
	h, a := newHost(t), newAgent(t)
	h.learn()
	r := h.start(a)
	every := everyOption("ndjson")
	every["path"], every["model"] = h.input(), "context"
	every["network_connection_discovery_enabled"], every["network_connection_discovery_threshold"] = true, "5"
	for _, name := range []string{"index", "pipeline", "rules_path", "feedback_hosts"} { // whose cluster does not answer
		delete(every, name)
	}
	good := a.fleetUnit(choices{options: every})
	unit := good.Id
	a.expect(h.output(a, "out"), good)
	a.wait(r, unit, "HEALTHY", "Healthy")
	h.Exec("root", "ss -s")
	exec := r.shipped("out", "exec", "root", 1)[0]
	r.shipped("out", "heartbeat", "", 1)
	require.Equal(t, "north", field(exec, "site"), "a global tag of the policy")
	require.Equal(t, "[dmz a: b]", field(exec, "tags"))
	h.Exec("mallory", "ss -tunap")
	require.Equal(t, "blue", field(r.shipped("out", "alert", "mallory", 1)[0], "team"))
	named := map[string]bool{}
	for _, stream := range good.Config.Streams {
		named[stream.DataStream.Dataset] = true
	}
	require.Contains(t, named, "lookbeat.rejected")
	for _, doc := range h.documents("out") {
		require.True(t, named[field(doc, "data_stream.dataset")], "the policy permits no %s",
			field(doc, "data_stream.dataset"))
		require.Equal(t, "lab", field(doc, "data_stream.namespace"))
	}

	with := func(name string, value any) map[string]any {
		changed := maps.Clone(every)
		changed[name] = value
		return changed
	}
	t.Log("what is wrong in an option is reported at the unit")
	wrong := with("learn_for", "2000h")
	wrong["heartbeat_period"] = "1ms"
	a.expect(h.output(a, "out"), a.fleetUnit(choices{options: wrong}))
	message := a.wait(r, unit, "FAILED", "the policy is not applied, the last good one runs on")
	require.Contains(t, message, "reconbeat.detector.learn_for: 2000h0m0s is not allowed; it must be 0 to 720h")
	require.Contains(t, message, "reconbeat.heartbeat.period: 1ms is not allowed")

	t.Log("an option of another module is reported, and so is that there are no alerts")
	a.expect(h.output(a, "out"), a.fleetUnit(choices{options: with("socket_buffer", "4096")}))
	a.wait(r, unit, "FAILED", "socket_buffer: no such setting")
	a.expect(h.output(a, "out"), a.fleetUnit(choices{options: every, off: []string{"alert"}}))
	a.wait(r, unit, "FAILED", "has no stream with a module; in Fleet, the data stream of alerts must be switched on")

	t.Log("the other modules take what the template makes for them: only the one mistake is reported")
	for _, module := range []string{"audisp", "auditd", "auditlog", "elasticsearch", "procconn"} {
		all := everyOption(module)
		all["actor"] = module + "'s"
		delete(all, "rules_path")
		delete(all, "cluster_api_key") // a user is set, too
		delete(all, "feedback_api_key")
		a.expect(h.output(a, "out"), a.fleetUnit(choices{options: all}))
		message := a.wait(r, unit, "FAILED", fmt.Sprintf("reconbeat.detector.actor: %q is not allowed", module+"'s"))
		require.Equal(t, 1, strings.Count(message, "not allowed")+strings.Count(message, "no such setting"), message)
	}

	t.Log("without process events and health, alerts alone ship")
	a.expect(h.output(a, "out"), a.fleetUnit(choices{options: every, off: []string{"process", "health"}}))
	a.wait(r, unit, "HEALTHY", "Healthy")
	h.Exec("eve", "ss -tunap")
	r.shipped("out", "alert", "eve", 1)
	require.NoError(t, r.signal(syscall.SIGTERM))
	require.Empty(t, h.find("out", "exec", "eve"))
}

// TestAddedTwiceThereAreTwoSources has an Agent's policy with the package twice: each is a source, and what holds of
// the whole Beat must be the same in both.
func TestAddedTwiceThereAreTwoSources(t *testing.T) {
	t.Parallel()
	h, a := newHost(t), newAgent(t)
	other := filepath.Join(h.dir, "other.ndjson")
	require.NoError(t, os.WriteFile(other, []byte(beattest.Line(time.Now(), "peggy", "ss -s")+"\n"), 0o600))
	r := h.start(a)
	source := func(policy, path, threshold string) *proto.UnitExpected {
		return a.fleetUnit(choices{
			policy: policy,
			options: map[string]any{
				"module":                                 "ndjson",
				"path":                                   path,
				"from":                                   "beginning",
				"network_connection_discovery_threshold": threshold,
			},
		})
	}
	one, two := source("one", h.input(), "40"), source("two", other, "40")
	a.expect(h.output(a, "out"), one, two)
	a.wait(r, one.Id, "HEALTHY", "Healthy")
	a.wait(r, two.Id, "HEALTHY", "Healthy")
	h.Exec("root", "ss -s")
	r.shipped("out", "exec", "root", 1)
	r.shipped("out", "exec", "peggy", 1)

	a.expect(h.output(a, "out"), one, source("two", other, "60"))
	for _, unit := range []string{one.Id, two.Id} {
		message := a.wait(r, unit, "FAILED", "detector.rules.network-connection-discovery.threshold: ")
		require.Contains(t, message, "it is a setting of the whole Beat, so all streams must say the same")
	}
	require.NoError(t, r.signal(syscall.SIGTERM))
}
