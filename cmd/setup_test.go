// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// kibanaStub answers as Kibana does, as far as `setup` asks it, and takes note of what is wrong with a request.
type kibanaStub struct {
	*httptest.Server
	space string

	mu      sync.Mutex
	objects map[string]map[string]any // saved objects by type/id
	rules   map[string]map[string]any // by rule_id
	faults  []string
	imports int // of rules

	refuse func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
}

func newKibana(t *testing.T, space string) *kibanaStub {
	k := &kibanaStub{space: space, objects: map[string]map[string]any{}, rules: map[string]map[string]any{}}
	mux := http.NewServeMux()
	prefix := ""
	if space != "" {
		prefix = "/s/" + space
	}
	mux.HandleFunc("GET "+prefix+"/api/status", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w,
			`{"name":"stub","version":{"number":"9.4.0","build_snapshot":false,"build_flavor":"traditional"}}`)
	})
	mux.HandleFunc("POST "+prefix+"/api/saved_objects/_import", k.importObjects)
	mux.HandleFunc("GET "+prefix+"/api/detection_engine/rules", func(w http.ResponseWriter, r *http.Request) {
		rule, ok := k.rules[r.URL.Query().Get("rule_id")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"message":"rule_id not found","status_code":404}`)
			return
		}
		k.answer(w, rule)
	})
	mux.HandleFunc("POST "+prefix+"/api/detection_engine/rules/_import", k.importRules)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		k.fault("nobody should ask for %s %s", r.Method, r.URL)
		http.NotFound(w, r)
	})
	k.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		defer k.mu.Unlock()
		if user, password, _ := r.BasicAuth(); user != "elastic" || password != "secret" {
			k.fault("%s %s comes from %q", r.Method, r.URL, user)
		}
		if r.Header.Get("kbn-xsrf") == "" {
			k.fault("%s %s has no kbn-xsrf", r.Method, r.URL)
		}
		if k.refuse == nil || !k.refuse(w, r) {
			mux.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(k.Close)
	return k
}

func (k *kibanaStub) fault(format string, args ...any) {
	k.faults = append(k.faults, fmt.Sprintf(format, args...))
}

func (k *kibanaStub) answer(w io.Writer, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		k.fault("answering: %v", err)
	}
}

// upload reads the lines of an uploaded file.
func (k *kibanaStub) upload(r *http.Request) (lines []map[string]any) {
	if r.URL.Query().Get("overwrite") != "true" {
		k.fault("%s does not overwrite", r.URL)
	}
	file, header, err := r.FormFile("file")
	if err != nil {
		k.fault("%s: %v", r.URL, err)
		return nil
	}
	if filepath.Ext(header.Filename) != ".ndjson" {
		k.fault("Kibana takes no file that is called %s", header.Filename)
	}
	text, err := io.ReadAll(file)
	if err != nil {
		k.fault("reading %s: %v", header.Filename, err)
	}
	for line := range bytes.Lines(text) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var o map[string]any
		if err := json.Unmarshal(line, &o); err != nil {
			k.fault("%s has a line that is not an object: %v", header.Filename, err)
			continue
		}
		lines = append(lines, o)
	}
	return lines
}

// importObjects takes what Kibana would take: references lead to what is there or comes along, and fields that hold
// JSON are strings.
func (k *kibanaStub) importObjects(w http.ResponseWriter, r *http.Request) {
	lines := k.upload(r)
	for _, o := range lines {
		k.objects[fmt.Sprint(o["type"], "/", o["id"])] = o
	}
	for _, o := range lines {
		name := fmt.Sprint(o["type"], "/", o["id"])
		if o["id"] == "reconbeat-*" {
			continue // libbeat's own, of all fields
		}
		if o["coreMigrationVersion"] == nil || o["typeMigrationVersion"] == nil {
			k.fault("%s has no versions", name)
		}
		references, _ := o["references"].([]any)
		for _, ref := range references {
			to := ref.(map[string]any)
			if _, ok := k.objects[fmt.Sprint(to["type"], "/", to["id"])]; !ok {
				k.fault("%s refers to %s/%s, which is not there", name, to["type"], to["id"])
			}
		}
		if o["type"] == "dashboard" {
			k.strings(name, o["attributes"].(map[string]any))
		}
	}
	k.answer(w, map[string]any{"success": true, "successCount": len(lines)})
}

// strings wants JSON in the strings of a dashboard, and in those of the panels within.
func (k *kibanaStub) strings(name string, attributes map[string]any) {
	group := attributes["controlGroupInput"].(map[string]any)
	meta := attributes["kibanaSavedObjectMeta"].(map[string]any)
	for field, v := range map[string]any{"panelsJSON": attributes["panelsJSON"],
		"optionsJSON": attributes["optionsJSON"], "searchSourceJSON": meta["searchSourceJSON"],
		"controlGroupInput.panelsJSON":               group["panelsJSON"],
		"controlGroupInput.ignoreParentSettingsJSON": group["ignoreParentSettingsJSON"]} {
		text, ok := v.(string)
		if !ok || !json.Valid([]byte(text)) {
			k.fault("%s has in %s no JSON in a string but %.80v", name, field, v)
			continue
		}
		if field != "panelsJSON" {
			continue
		}
		var panels []struct {
			Type             string         `json:"type"`
			EmbeddableConfig map[string]any `json:"embeddableConfig"`
		}
		if err := json.Unmarshal([]byte(text), &panels); err != nil || len(panels) == 0 {
			k.fault("%s has no panels: %v", name, err)
		}
		for _, p := range panels {
			if p.Type != "search" {
				continue
			}
			attributes := p.EmbeddableConfig["attributes"].(map[string]any)
			source := attributes["kibanaSavedObjectMeta"].(map[string]any)["searchSourceJSON"]
			if text, ok := source.(string); !ok || !json.Valid([]byte(text)) {
				k.fault("%s has a list whose searchSourceJSON is not a string but %.80v", name, source)
			}
		}
	}
}

func (k *kibanaStub) importRules(w http.ResponseWriter, r *http.Request) {
	k.imports++
	lines := k.upload(r)
	for _, o := range lines {
		if o["attributes"] != nil {
			k.fault("a rule is wrapped like a saved object")
		}
		k.rules[fmt.Sprint(o["rule_id"])] = o
	}
	k.answer(w,
		map[string]any{"success": true, "success_count": len(lines), "rules_count": len(lines), "errors": []any{}})
}

// setup runs `reconbeat setup` against the stub. It returns what was printed.
func (k *kibanaStub) setup(t *testing.T, flags ...string) (string, error) {
	dir := t.TempDir()
	shipped, err := filepath.Abs(filepath.Join("..", "_meta", "kibana"))
	require.NoError(t, err)
	require.NoError(t, os.Symlink(shipped, filepath.Join(dir, "kibana")))
	config := filepath.Join(dir, "reconbeat.yml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
reconbeat.modules: [{module: ndjson, paths: [%s/none.ndjson]}]
output.elasticsearch: {hosts: ["http://127.0.0.1:1"], username: elastic, password: secret}
setup.kibana: {host: %q, space.id: %q}
logging.to_stderr: true
`, dir, k.URL, k.space), 0o600))
	args := append(
		[]string{"setup", "-c", config, "--path.home", dir, "--path.data", filepath.Join(dir, "data"), "--path.logs",
			filepath.Join(dir, "logs")},
		flags...)
	c := exec.Command(withoutRaceDetector(t), args...)
	c.Env = append(os.Environ(), asReconbeat+"=1")
	out, err := c.CombinedOutput()
	return string(out), err
}

func TestSetupLoadsTheDashboards(t *testing.T) {
	for _, space := range []string{"", "security-team"} {
		k := newKibana(t, space)
		out, err := k.setup(t, "--dashboards")
		require.NoError(t, err, out)
		require.Empty(t, k.faults)
		require.Contains(t, out, "Loaded dashboards")
		committed, err := filepath.Glob("../_meta/kibana/7/*/*.json")
		require.NoError(t, err)
		require.Greater(t, len(committed), 10)
		want := []string{"index-pattern/reconbeat-*"} // libbeat's
		for _, file := range committed {
			var o struct{ Type, ID string }
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(text, &o))
			want = append(want, o.Type+"/"+o.ID)
		}
		slices.Sort(want)
		want = slices.Compact(want) // a dashboard has two files
		require.Equal(t, want, slices.Sorted(maps.Keys(k.objects)))
		requireLinks(t, k.objects)
		require.Empty(t, k.rules, "rules are loaded only when asked for")
	}
}

// requireLinks wants every dashboard to lead to every other one, when all files are loaded.
func requireLinks(t *testing.T, objects map[string]map[string]any) {
	dashboards := slices.DeleteFunc(slices.Sorted(maps.Keys(objects)),
		func(name string) bool { return !strings.HasPrefix(name, "dashboard/") })
	require.Len(t, dashboards, 3)
	for _, name := range dashboards {
		leads := []string{name}
		for _, ref := range objects[name]["references"].([]any) {
			if to := ref.(map[string]any); to["type"] == "dashboard" {
				leads = append(leads, fmt.Sprint("dashboard/", to["id"]))
			}
		}
		slices.Sort(leads)
		require.Equal(t, dashboards, leads, "the links of %s", name)
	}
}

// promotionID is the rule that promotes alerts.
const promotionID = "b0a2c1de-6d0c-4c52-9b2e-7a5f1c5b3d10"

func TestSetupLoadsTheRules(t *testing.T) {
	for _, space := range []string{"", "security-team"} {
		k := newKibana(t, space)
		out, err := k.setup(t, "--rules")
		require.NoError(t, err, out)
		require.Empty(t, k.faults)
		require.Empty(t, k.objects, "only the rules were asked for")
		require.Len(t, k.rules, 3)
		require.Contains(t, out, `Rule "Reconbeat alert": loaded version`)
		require.Equal(t, "message", k.rules[promotionID]["rule_name_override"])

		out, err = k.setup(t, "--rules")
		require.NoError(t, err, out)
		require.Equal(t, 1, k.imports, "what is there is not loaded again")
		require.Contains(t, out, "is there already")
	}
}

func TestANewVersionOfARuleKeepsWhatTheUserDecided(t *testing.T) {
	k := newKibana(t, "")
	exceptions := []any{map[string]any{"id": "1", "list_id": "ours", "type": "detection", "namespace_type": "single"}}
	k.rules[promotionID] = map[string]any{
		"rule_id":         promotionID,
		"name":            "Reconbeat alert",
		"version":         0,
		"enabled":         false,
		"exceptions_list": exceptions,
		"query":           "old",
	}
	out, err := k.setup(t, "--rules")
	require.NoError(t, err, out)
	require.Empty(t, k.faults)
	r := k.rules[promotionID]
	require.Equal(t, false, r["enabled"])
	require.Equal(t, exceptions, r["exceptions_list"])
	require.NotEqual(t, "old", r["query"])
	require.NotContains(t, r, "actions", "there were none")
}

func TestSetupSaysWhyARuleWasNotLoaded(t *testing.T) {
	imported := func(status int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/_import") {
				return false
			}
			w.WriteHeader(status)
			fmt.Fprint(w, body)
			return true
		}
	}
	for _, c := range []struct {
		name   string
		refuse func(http.ResponseWriter, *http.Request) bool
		want   string
	}{
		{
			name: "200 that carries an error",
			refuse: imported(200, `{"success":false,"success_count":2,"errors":[{"rule_id":"`+promotionID+
				`","error":{"status_code":400,"message":"Invalid input"}}]}`),
			want: "the rule " + promotionID + ": Invalid input",
		},
		{
			name: "200 that took fewer", refuse: imported(200, `{"success":true,"success_count":2,"errors":[]}`),
			want: "only 2 of 3 rules taken",
		},
		{
			name: "200 that took none and says nothing", refuse: imported(200, `{"success":false}`),
			want: "only 0 of 3 rules taken",
		},
		{name: "200 that is not JSON", refuse: imported(200, `<html>`), want: "reading Kibana's answer"},
		{
			name:   "no right",
			refuse: imported(403, `{"statusCode":403,"error":"Forbidden","message":"API [POST ...] is unauthorized"}`),
			want:   "answer 403 of Kibana: API [POST ...] is unauthorized; the user needs",
		},
		{name: "a proxy's error", refuse: imported(502, "Bad Gateway\n"), want: "answer 502 of Kibana: Bad Gateway"},
		{
			name: "an error when asked what is there",
			refuse: func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/rules") {
					return false
				}
				w.WriteHeader(500)
				fmt.Fprint(w, `{"message":"boom"}`)
				return true
			},
			want: `asking for the rule "Reconbeat alert": answer 500 of Kibana: boom`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKibana(t, "")
			k.refuse = c.refuse
			out, err := k.setup(t, "--rules")
			require.Error(t, err)
			require.Contains(t, out, c.want)
			require.Empty(t, k.faults)
		})
	}
	t.Run("no Kibana", func(t *testing.T) {
		k := newKibana(t, "")
		k.Close()
		out, err := k.setup(t, "--rules")
		require.Error(t, err)
		require.Contains(t, out, "connecting to Kibana")
	})
	t.Run("together with others", func(t *testing.T) {
		out, err := newKibana(t, "").setup(t, "--rules", "--dashboards")
		require.Error(t, err)
		require.Contains(t, out, "--rules and --dashboards are set up by a command each")
	})
}
