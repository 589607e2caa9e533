// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/reconbeat/reconbeat/integration/fleet"
)

// The two packages that this one follows: manifests and templates as they were, for Agents that collect files and for
// those that run reconbeat.
const (
	collecting = "testdata/0.1.0/reconbeat"
	running    = "testdata/0.1.0/reconbeat_agent"
)

// packages are the one of today, and one that was before it.
func packages(t *testing.T, before string) (now, old *fleet.Package) {
	t.Helper()
	now, err := fleet.Read(dir)
	require.NoError(t, err)
	old, err = fleet.Read(before)
	require.NoError(t, err)
	return now, old
}

// TestAddedNewItCollectsFiles holds what somebody gets who changes nothing. Fleet adds an input that is new to the
// policies there are as it is by default: were reconbeat on, every host that has it as a service would run it twice.
func TestAddedNewItCollectsFiles(t *testing.T) {
	p, err := fleet.Read(dir)
	require.NoError(t, err)
	policy := p.Defaults("new", "lab")
	require.Len(t, policy.Inputs, 2)
	for _, in := range policy.Inputs {
		assert.Equal(t, in.Type == "filestream", in.Enabled, in.Type)
		for _, s := range in.Streams {
			assert.Equal(t, in.Enabled, s.Enabled, "%s of %s", s.Dataset, in.Type)
		}
	}
	assert.Empty(t, p.Missing(policy))
}

func TestAnUpgradeKeepsWhatWasChosen(t *testing.T) {
	now, old := packages(t, collecting)
	for _, row := range []struct {
		name   string
		change func(t *testing.T, p *fleet.Policy)
	}{
		{name: "nothing was chosen", change: func(*testing.T, *fleet.Policy) {}},
		{name: "everything was chosen", change: func(t *testing.T, p *fleet.Policy) {
			for option, value := range map[string]any{
				"paths": []any{"/srv/reconbeat/*.ndjson"}, "tags": []any{"dmz"}, "check_interval": "30s",
				"processors": "- drop_event.when.equals.host.name: lab\n",
			} {
				require.NoError(t, p.Set("filestream", option, value))
			}
		}},
		{name: "heartbeats were switched off", change: func(t *testing.T, p *fleet.Policy) {
			require.NoError(t, p.SwitchStream("filestream", "reconbeat.health", false))
		}},
		{name: "it was switched off", change: func(_ *testing.T, p *fleet.Policy) { p.Switch("filestream", false) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			policy := old.Defaults("files", "lab")
			row.change(t, policy)
			upgraded := now.Upgrade(policy)
			require.Empty(t, now.Missing(upgraded))
			require.Equal(t, first(old.Inputs(policy)), first(now.Inputs(upgraded)), "the Agent's policy is the same")
			require.Equal(t, first(old.Permissions(policy)), first(now.Permissions(upgraded)))

			t.Log("the other way is there to be switched on, and runs with its defaults")
			upgraded.Switch("filestream", false)
			upgraded.Switch("reconbeat", true)
			require.Empty(t, now.Missing(upgraded))
			_, module := accepted(t, onlyInput(t, now, upgraded))
			require.Equal(t, "auto", module["module"])
		})
	}
}

// TestOptionsKeepTheirNames holds that no option of the packages before is gone, or of another type: values are kept by
// the names of options.
func TestOptionsKeepTheirNames(t *testing.T) {
	for before, input := range map[string]string{collecting: "filestream", running: "reconbeat"} {
		now, old := packages(t, before)
		was, has := old.Input(input)
		require.True(t, has)
		is, has := now.Input(input)
		require.True(t, has)
		keptOptions(t, was.Vars, is.Vars, input)
		for _, folder := range old.Template.DataStreams {
			was, has := old.Stream(folder, input)
			require.True(t, has, folder)
			is, has := now.Stream(folder, input)
			require.True(t, has, folder)
			keptOptions(t, was.Vars, is.Vars, folder)
		}
	}
}

func keptOptions(t *testing.T, was, is []fleet.Variable, place string) {
	t.Helper()
	type shape struct {
		kind  string
		multi bool
	}
	shapes := map[string]shape{}
	for _, v := range is {
		shapes[v.Name] = shape{kind: v.Type, multi: v.Multi}
	}
	for _, v := range was {
		kept, has := shapes[v.Name]
		require.True(t, has, "the option %s of %s is gone", v.Name, place)
		require.Equal(t, shape{kind: v.Type, multi: v.Multi}, kept, "%s of %s", v.Name, place)
	}
}

// TestOptionsMoveFromTheOtherPackage has somebody move from the package for Agents that run reconbeat, which was one of
// its own, and choose the same again: reconbeat runs as before.
func TestOptionsMoveFromTheOtherPackage(t *testing.T) {
	now, old := packages(t, running)
	for _, module := range []string{"auto", "audisp", "auditd", "auditlog", "procconn", "ndjson", "elasticsearch"} {
		options := everyOption(module)
		was := old.Defaults("moved", "lab")
		_, is := chosen(t, choices{policy: "moved", options: options})
		for name, value := range options {
			require.NoError(t, was.Set("reconbeat", name, value))
		}
		before, after := onlyInput(t, old, was), onlyInput(t, now, is)
		wholeBefore, moduleBefore := accepted(t, before)
		wholeAfter, moduleAfter := accepted(t, after)
		require.Equal(t, wholeBefore, wholeAfter, module)
		require.Equal(t, moduleBefore, moduleAfter, module)

		t.Log("the id of the input, which its unit has, is the same")
		var a, b map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(before), &a))
		require.NoError(t, yaml.Unmarshal([]byte(after), &b))
		require.Equal(t, a["id"], b["id"])
	}
}
