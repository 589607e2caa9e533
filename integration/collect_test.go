// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/reconbeat/reconbeat/integration/fleet"
)

// dir is the package's folder.
const dir = "reconbeat"

func read[T any](t *testing.T, file string) T {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var v T
	require.NoError(t, yaml.Unmarshal(text, &v), file)
	return v
}

// render makes of a data stream's template for the filestream input what Fleet makes of it for a policy with these
// variables, the others at their defaults.
func render(t *testing.T, stream string, vars map[string]any) map[string]any {
	t.Helper()
	p, err := fleet.Read(dir)
	require.NoError(t, err)
	in, has := p.Input("filestream")
	require.True(t, has)
	part, has := p.Stream(stream, "filestream")
	require.True(t, has, stream)
	text, err := os.ReadFile(filepath.Join(dir, "data_stream", stream, "agent", "stream", part.TemplatePath))
	require.NoError(t, err)
	input, err := fleet.Render(string(text), slices.Concat(in.Vars, part.Vars), vars)
	require.NoError(t, err)
	return input
}

// addFields is a processor.
func addFields(target string, fields map[string]any) any {
	return map[string]any{"add_fields": map[string]any{"target": target, "fields": fields}}
}

// agentID is the id of the tests' Elastic Agent.
const agentID = "6a4bd2a3-6a3b-4f8a-a0b1-2f61d2f0a9d5"

// underAgent makes of a rendered stream what an Elastic Agent hands to Filebeat: an id, the index, and before the
// stream's own processors those that say whose the document is (x-pack/libbeat/management/generate.go).
func underAgent(stream, namespace string, input map[string]any) map[string]any {
	dataset := "reconbeat." + stream
	input = maps.Clone(input)
	input["type"] = "filestream"
	input["id"] = "filestream-" + dataset
	input["index"] = "logs-" + dataset + "-" + namespace
	own, _ := input["processors"].([]any)
	input["processors"] = append([]any{
		addFields("@metadata", map[string]any{"input_id": "filestream-reconbeat"}),
		addFields("data_stream", map[string]any{"type": "logs", "dataset": dataset, "namespace": namespace}),
		addFields("event", map[string]any{"dataset": dataset}),
		addFields("@metadata", map[string]any{"stream_id": input["id"]}),
		addFields("elastic_agent", map[string]any{"id": agentID, "snapshot": false, "version": "9.4.0"}),
		addFields("agent", map[string]any{"id": agentID}),
	}, own...)
	return input
}

// process is a Beat that runs as a process of its own.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	log   bytes.Buffer
	ended chan error
}

// start runs a Beat with its own paths in home until the test ends it.
func start(t *testing.T, beat, home string, config map[string]any) *process {
	t.Helper()
	text, err := yaml.Marshal(config)
	require.NoError(t, err)
	file := filepath.Join(home, beat+".yml")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	p := &process{t: t, ended: make(chan error, 1)}
	p.cmd = exec.Command(os.Args[0], "run", "-e", "-c", file, "--path.home", home, "--path.data",
		filepath.Join(home, "data-"+beat), "--path.config", home)
	p.cmd.Env = append(os.Environ(), as+"="+beat)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	require.NoError(t, p.cmd.Start())
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		err := <-p.ended
		p.ended <- err
		if t.Failed() {
			t.Logf("the log of %s:\n%s", beat, p.log.String())
		}
	})
	return p
}

// end ends the Beat in order.
func (p *process) end() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	err := <-p.ended
	p.ended <- err
	require.NoError(p.t, err)
}

// documents are those in the files that output.file wrote in a folder, in their order. The last line may still be being
// written.
func documents(t *testing.T, folder string) []mapstr.M {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.ndjson"))
	require.NoError(t, err)
	slices.Sort(files)
	var docs []mapstr.M
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for line := range bytes.Lines(text) {
			var doc mapstr.M
			if json.Unmarshal(line, &doc) == nil {
				docs = append(docs, doc)
			}
		}
	}
	return docs
}

// writeJSON writes lower-case keys, in lines that a person can read.
func writeJSON(t *testing.T, file string, v any) {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "    ")
	require.NoError(t, e.Encode(v))
	require.NoError(t, os.WriteFile(file, b.Bytes(), 0o644))
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !condition(); time.Sleep(500 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within five minutes: %s", what)
		}
	}
}

func text(doc mapstr.M, field string) string {
	v, err := doc.GetValue(field)
	if err != nil {
		return ""
	}
	return fmt.Sprint(v)
}

// fileOutput is an output.file in a folder. A Filebeat that stops while more than five of its files are open waits for
// a minute: each reader says that it ends to a watcher that has ended, whose channel holds five
// (filebeat/input/filestream/fswatch.go).
func fileOutput(folder string) map[string]any {
	return map[string]any{
		"path":            folder,
		"filename":        "out",
		"permissions":     0o600,
		"rotate_every_kb": 1000,
		"number_of_files": 1000,
	}
}

// recording is the folder of recorded's files, once they are there.
var recording string

// recorded runs reconbeat over the bundled recording, ten days of a web server whose account looks at the connections
// in the end, with output.file, and returns the folder of that output: alert and summary, every raw event, heartbeats.
// The files are so small that there are several. Tests share them.
func recorded(t *testing.T) string {
	t.Helper()
	if recording != "" {
		return recording
	}
	home := t.TempDir()
	input := filepath.Join(home, "recording.ndjson")
	unpacked, err := exec.Command("gzip", "-dc", "../cmd/recording.ndjson.gz").Output()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(input, unpacked, 0o600))
	out := filepath.Join(scratch, "recorded")
	p := start(t, "reconbeat", home, map[string]any{
		"reconbeat": map[string]any{
			"modules": []any{
				map[string]any{
					"module":   "ndjson",
					"from":     "beginning",
					"paths":    []any{input},
					"pipeline": "not-the-package's",
				},
			},
			"namespace": "onhost",
		},
		"output.file": fileOutput(out),
	})
	eventually(t, "reconbeat writes the alert, its summary and every exec", func() bool {
		docs := documents(t, out)
		has := func(dataset, action string) bool {
			return slices.ContainsFunc(docs, func(doc mapstr.M) bool {
				return text(doc, "data_stream.dataset") == dataset && text(doc, "event.action") == action
			})
		}
		return len(docs) >= 1567 && has("reconbeat.health", "heartbeat") && has("reconbeat.alert", "alert") &&
			has("reconbeat.alert", "alert-summary")
	})
	files, err := filepath.Glob(filepath.Join(out, "*.ndjson"))
	require.NoError(t, err)
	require.Greater(t, len(files), 1, "an Agent reads several")
	require.LessOrEqual(t, len(files), 5, "with more, Filebeat does not end at once: fileOutput")
	p.end()
	recording = out
	return out
}

// inputs are those of a policy that has every data stream, over a folder.
func inputs(t *testing.T, from string, vars map[string]any) (list []any) {
	t.Helper()
	for _, stream := range Streams {
		with := map[string]any{"paths": []any{filepath.Join(from, "*.ndjson")}, "check_interval": "1s"}
		maps.Copy(with, vars)
		list = append(list, underAgent(stream, "policy", render(t, stream, with)))
	}
	return list
}

// collect runs the filestream inputs of the package over a folder until as many documents have come as are expected,
// and returns them.
func collect(t *testing.T, from string, vars map[string]any, expected int) []mapstr.M {
	t.Helper()
	home := t.TempDir()
	out := filepath.Join(home, "output")
	p := start(t, "filebeat", home, map[string]any{
		"filebeat.inputs":         inputs(t, from, vars),
		"output.file":             fileOutput(out),
		"queue.mem.flush.timeout": 0,
	})
	eventually(t, "Filebeat ships every document", func() bool { return len(documents(t, out)) >= expected })
	p.end()
	return documents(t, out)
}

// writePipelineTests writes of what an Agent shipped the documents of the pipeline tests: of each data stream one of
// every event.action, and as it is in a cluster, without what names this machine.
func writePipelineTests(t *testing.T, shipped []mapstr.M) {
	t.Helper()
	var web mapstr.M // the recorded host, which heartbeats do not know
	for _, doc := range shipped {
		if text(doc, "host.name") == "web-1" {
			web = doc
			break
		}
	}
	for _, stream := range Streams {
		var list []mapstr.M
		seen := map[string]bool{}
		for _, doc := range shipped {
			key := text(doc, "event.action") + text(doc, "user.name")
			if text(doc, "data_stream.dataset") != "reconbeat."+stream || seen[key] {
				continue
			}
			seen[key] = true
			doc = doc.Clone()
			_ = doc.Delete("@metadata")
			_, _ = doc.Put("data_stream.namespace", "default")
			_, _ = doc.Put("log.file.path", "/var/lib/reconbeat/output/reconbeat-20260311.ndjson")
			_, _ = doc.Put("agent.name", "web-1")
			if text(doc, "host.name") != "web-1" {
				host, err := web.GetValue("host")
				require.NoError(t, err)
				_, _ = doc.Put("host", host)
			}
			list = append(list, doc)
		}
		slices.SortStableFunc(list,
			func(a, b mapstr.M) int { return strings.Compare(text(a, "event.action"), text(b, "event.action")) })
		cut := list[0].Clone()
		for name := range cut {
			if !slices.Contains(
				[]string{"@timestamp", "agent", "data_stream", "ecs", "elastic_agent", "input", "log", "tags"}, name) {
				delete(cut, name)
			}
		}
		cut["event"] = map[string]any{"dataset": "reconbeat." + stream}
		cut["message"] = `{"@timestamp":"2026-03-11T16:43:00.000Z","data_stream":{"type":"logs","dataset":"reconbeat.` +
			stream + `","namespace":"default"},"process":{"na`
		cut["error"] = map[string]any{"message": "Error decoding JSON: unexpected EOF", "type": "json"}
		folder := filepath.Join(dir, "data_stream", stream, "_dev/test/pipeline")
		writeJSON(t, filepath.Join(folder, "test-recording.json"), map[string]any{"events": list})
		writeJSON(t, filepath.Join(folder, "test-cut-off.json"), map[string]any{"events": []any{cut}})
	}
}

// TestTheAgentShipsWhatReconbeatWrote runs reconbeat with output.file, and the package's inputs over that file as an
// Elastic Agent runs them.
func TestTheAgentShipsWhatReconbeatWrote(t *testing.T) {
	from := recorded(t)
	wrote := documents(t, from)
	shipped := collect(t, from, nil, len(wrote))
	require.Len(t, shipped, len(wrote), "each document in exactly one stream")
	if *update {
		writePipelineTests(t, shipped)
	}
	byID := map[string]mapstr.M{}
	for _, doc := range shipped {
		byID[text(doc, "@metadata._id")] = doc
	}
	require.Len(t, byID, len(wrote), "one _id a document")
	declared := map[string]map[string]string{}
	for _, stream := range Streams {
		fields, err := Fields(dir, stream)
		require.NoError(t, err)
		declared["reconbeat."+stream] = fields
	}
	streams := map[string]int{}
	for _, direct := range wrote {
		id := text(direct, "@metadata._id")
		require.NotEmpty(t, id)
		doc := byID[id]
		require.NotNil(t, doc, "the document %s does not arrive", id)
		dataset := text(direct, "data_stream.dataset")
		streams[dataset]++
		require.Equal(t, "logs-"+dataset+"-policy", text(doc, "@metadata.raw_index"), "the policy says where it goes")
		require.Equal(t, "create", text(doc, "@metadata.op_type"))
		require.Empty(t, text(doc, "@metadata.pipeline"), "the package's pipeline is run")
		for _, name := range leaves(doc) {
			if _, known := declared[dataset][name]; !known && !strings.HasPrefix(name, "@metadata.") {
				require.Fail(t, "a field that the package does not declare", "%s of %s", name, dataset)
			}
		}

		// What the way through the Agent adds, and where the policy has the last word.
		for _, name := range []string{"@metadata", "input", "log", "tags", "elastic_agent", "agent.id",
			"data_stream.namespace"} {
			_ = doc.Delete(name)
			_ = direct.Delete(name)
		}
		require.Equal(t, direct, doc, id)
	}
	require.Len(t, streams, len(Streams), "the run wrote documents of every data stream: %v", streams)
}

// TestACutOffLineIsReported lets the Agent read what a full disk leaves: lines that end in the middle.
func TestACutOffLineIsReported(t *testing.T) {
	from := t.TempDir()
	whole := `{"@timestamp":"2026-03-11T16:43:00.000Z","@metadata":{"_id":"whole"},"data_stream":{"type":"logs",` +
		`"dataset":"reconbeat.process","namespace":"default"},"message":"` + strings.Repeat(
		"x", 256) + `"}`
	named, unnamed := whole[:strings.Index(whole, "message")], whole[:strings.Index(whole, "data_stream")]
	quoted := `{"@timestamp":"2026-03-11T16:43:01.000Z","@metadata":{"_id":"quoted"},"data_stream":{"type":"logs",` +
		`"dataset":"reconbeat.process","namespace":"default"},"process":{"args":["echo",` +
		`"\"dataset\":\"reconbeat.alert\""]}}`
	require.NoError(t, os.WriteFile(filepath.Join(from, "out.ndjson"),
		[]byte(strings.Join([]string{whole, unnamed, named, quoted, ""}, "\n")), 0o600))
	shipped := collect(t, from, nil, 3)
	require.Len(t, shipped, 3, "what does not name its data stream is dropped")
	for _, doc := range shipped {
		require.Equal(t, "logs-reconbeat.process-policy", text(doc, "@metadata.raw_index"),
			"whatever a user types goes nowhere else")
		if id := text(doc, "@metadata._id"); id != "whole" && id != "quoted" {
			require.Equal(t, "json", text(doc, "error.type"))
			require.Equal(t, named, text(doc, "message"))
		}
	}
}

// TestATestAlertGoesAllTheWay does what the manual says to see whether it works.
func TestATestAlertGoesAllTheWay(t *testing.T) {
	home := t.TempDir()
	out := filepath.Join(home, "output")
	config, err := yaml.Marshal(map[string]any{"output.file": fileOutput(out)})
	require.NoError(t, err)
	file := filepath.Join(home, "reconbeat.yml")
	require.NoError(t, os.WriteFile(file, config, 0o600))
	c := exec.Command(os.Args[0], "test", "alert", "-c", file, "--path.home", home, "--path.data",
		filepath.Join(home, "data"), "--path.config", home)
	c.Env = append(os.Environ(), as+"=reconbeat")
	said, err := c.CombinedOutput()
	require.NoError(t, err, string(said))
	shipped := collect(t, out, nil, 1)
	require.Len(t, shipped, 1)
	require.Equal(t, "logs-reconbeat.alert-policy", text(shipped[0], "@metadata.raw_index"))
	require.Contains(t, string(said), text(shipped[0], "@metadata._id"))
	require.Equal(t, "true", text(shipped[0], "reconbeat.alert.test"))
	declared, err := Fields(dir, "alert")
	require.NoError(t, err)
	for name := range shipped[0].Flatten() {
		if !strings.HasPrefix(name, "@metadata.") {
			require.Contains(t, declared, name)
		}
	}
}

// leaves are the names of a document's fields, those in lists of objects, too.
func leaves(doc mapstr.M) (names []string) {
	for name, v := range doc.Flatten() {
		list, _ := v.([]any)
		objects := 0
		for _, one := range list {
			if object, ok := one.(map[string]any); ok {
				objects++
				for _, leaf := range leaves(object) {
					names = append(names, name+"."+leaf)
				}
			}
		}
		if objects == 0 {
			names = append(names, name)
		}
	}
	return names
}
