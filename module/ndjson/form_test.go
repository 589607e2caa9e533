// SPDX-License-Identifier: Apache-2.0

package ndjson

import (
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/unicode"

	"github.com/reconbeat/reconbeat/process"
)

// pretty is a document over several lines.
func pretty(second, pid int) string {
	return fmt.Sprintf("{\n  \"@timestamp\": %d000,\n  \"host\": {\n    \"name\": \"web-01\"\n  },\n  "+
		"\"process\": {\"name\": \"ss\", \"pid\": %d},\n  \"event\": {\"action\": \"exec\"}\n}", second, pid)
}

// hit is a document as a search returns it.
func hit(source string) string {
	return `{"_index":"logs","_id":"a","_score":1.0,"_source":` + source + `}`
}

// fields is a document as Discover, or a search for fields, returns it: dotted names and lists.
func fields(second, pid int) string {
	return fmt.Sprintf(`{"_index":"logs","_id":"a","fields":{"@timestamp":["%d000"],"process.name":["ss"],`+
		`"process.pid":[%d],"event.action":["exec"],"process.args":["ss","-tan"]}}`, second, pid)
}

// Whatever form an export has, its two documents are read.
func TestDocumentsAreReadInEveryForm(t *testing.T) {
	a, b := exec(1_700_000_000, 1), exec(1_700_000_060, 2)
	answer := func(hits ...string) string {
		return `{"took":3,"timed_out":false,"_shards":{"total":1},"hits":{"total":{"value":2},"hits":[` +
			strings.Join(hits, ",") + `]},"aggregations":{"x":{"hits":{"hits":[` + a + `]}}}}`
	}
	big := fmt.Sprintf(`{"@timestamp":1700000000000,"process":{"name":"ss","pid":1},"event":{"action":"exec"},"x":"%s"}`,
		strings.Repeat("x", 100_000))
	for name, text := range map[string]string{
		"lines":                       a + "\n" + b + "\n",
		"lines without an end":        a + "\n" + b,
		"carriage returns":            a + "\r\n" + b + "\r\n",
		"a torn first line":           `ss","pid":9}}` + "\n" + a + "\n" + b,
		"zero bytes of a crash":       a + "\n\x00\x00\x00\x00" + b + "\n",
		"marks within":                "\xef\xbb\xbf" + a + "\n\xef\xbb\xbf" + b,
		"commas behind":               a + ",\n" + b + ",\n",
		"an array on one line":        "[" + a + "," + b + "]",
		"an array, a document a line": "[\n" + a + ",\n" + b + "\n]\n",
		"an array that a line opens":  "[" + a + ",\n" + b + "]\n",
		"an array with commas before": "[" + a + "\n," + b + "\n]\n",
		"arrays behind each other":    "[" + a + "]\n[" + b + "]\n",
		"a long array":                "[" + big + "," + b + "]",
		"pretty":                      pretty(1_700_000_000, 1) + "\n" + pretty(1_700_000_060, 2) + "\n",
		"a pretty array":              "[\n" + pretty(1_700_000_000, 1) + ",\n" + pretty(1_700_000_060, 2) + "\n]\n",
		"hits":                        hit(a) + "\n" + hit(b),
		"an answer":                   answer(hit(a), hit(b)),
		"a pretty answer":             strings.ReplaceAll(answer(hit(a), hit(b)), ",\"", ",\n  \""),
		"answers a line":              answer(hit(a)) + "\n" + answer(hit(b)) + "\n",
		"answers in an array":         "[" + answer(hit(a)) + "," + answer(hit(b)) + "]",
		"of several searches":         `{"took":1,"responses":[` + answer(hit(a)) + "," + answer(hit(b)) + `]}`,
		"of an asynchronous search":   `{"id":"x","is_running":false,"response":` + answer(hit(a), hit(b)) + `}`,
		"as Kibana inspects it":       `{"isPartial":false,"rawResponse":` + answer(hit(a), hit(b)) + `}`,
		"only its hits":               `{"hits":{"hits":[` + hit(a) + `,` + hit(b) + `]}}`,
		"fields":                      fields(1_700_000_000, 1) + "\n" + fields(1_700_000_060, 2),
		"an answer of fields":         answer(fields(1_700_000_000, 1), fields(1_700_000_060, 2)),
		"bulk":                        `{"index":{"_index":"x"}}` + "\n" + a + "\n" + `{ "create" : { } }` + "\n" + b + "\n",
		"updates in bulk":             `{"update":{"_id":"x"}}` + "\n" + `{"doc":` + a + "}\n" + b + "\n",
		"behind a syslog header":      "Mar  3 01:06:40 web1 agent[7]: " + a + "\nMar  3 01:06:40 web1 agent[7]: " + b,
		"behind a tag":                "2026-03-03T01:06:40Z\tagent\t" + a + "\nweb1 agent: @cee:" + b,
		"behind logcli's labels": "2026-03-03T01:06:40Z {host=\"web\", job=\"x\"} " + a +
			"\n2026-03-03T01:06:40Z {job=\"x\"}   " + b + "\n",
		"behind Fluent Bit's header": "[0] tail.0: [[1.0, {}], " + a + "]\n[1] tail.0: [[1.0, {}], " + b + "]\n",
		"a sequence of RFC 7464":     "\x1e" + a + "\n\x1e" + b + "\n",
		"right behind each other":    a + b,
		"an answer of EQL":           `{"took":1,"hits":{"total":{"value":2},"events":[` + hit(a) + "," + hit(b) + `]}}`,
		"sequences of EQL": `{"hits":{"sequences":[{"join_keys":["x"],"events":[` + hit(a) + "," + hit(b) +
			`]}]}}`,
		"documents by id":    `{"docs":[` + hit(a) + "," + hit(b) + `]}`,
		"AWS's logs":         `{"events":[` + message(a) + "," + message(b) + `],"nextToken":"x"}`,
		"AWS's subscription": `{"logGroup":"x","logEvents":[` + message(a) + "," + message(b) + `]}`,
		"Splunk's results":   `{"preview":false,"fields":[{"name":"_raw"}],"results":[` + a + "," + b + `]}`,
		"Azure's logs":       `{"records":[` + a + "," + b + `]}`,
		"in a payload":       `{"payload":` + quoted(a) + "}\n" + `{"short_message":` + quoted(b) + "}\n",
		"in a message":       message(a) + "\n" + message(b),
		"in Docker's log": `{"log":` + quoted(a+"\n") + `,"stream":"stdout","time":"2026-03-03T01:06:40Z"}` + "\n" +
			b,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "events")
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			require.True(t, Recognises([]byte(text[:min(len(text), 64<<10)])))
			r := newRig(t, true, map[string]any{"paths": []string{path}})
			events := r.replayed(t)
			require.Len(t, events, 2)
			require.EqualValues(t, 1, events[0].PID)
			require.EqualValues(t, 2, events[1].PID)
			require.EqualValues(t, 1_700_000_060, events[1].Time.Unix())
			if name != "a torn first line" {
				require.Zero(t, r.stats.Malformed.Load())
			}
		})
	}
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

func message(doc string) string {
	return `{"@timestamp":"2026-03-03T01:06:40Z","agent":{"type":"filebeat"},"message":` + quoted(doc) + `}`
}

// A file of which nothing is understood is an error that says what it is.
func TestWhatIsNotUnderstoodIsNamed(t *testing.T) {
	const doc = `{"@timestamp":1700000000000,"event":{"action":"exec"},"process":{"name":"ss"}}`
	const record = `{"@timestamp":"2026-03-03T01:06:40Z","message":"type=SYSCALL msg=audit(1.1:1): arch=1"}`
	for text, want := range map[string]string{
		record + "\n" + record: "of the 2 documents of FILE none reports a program start: the first is a single record " +
			"of audit",
		`{"@timestamp":"2026-03-03T01:06:40Z","message":"hello"}`: "the 1 document of FILE does not report a program " +
			"start: it is a document that says nothing of a process",
		`{"columns":[{"name":"@timestamp","type":"date"}],"values":[]}`:            "FILE is an answer of ES|QL or SQL",
		`{"rawResponse":{"took":1,"columns":[{"name":"@timestamp"}],"values":[]}}`: "FILE is an answer of ES|QL or SQL",
		`{"rows":[["2026-03-03T01:06:40.000Z","ss"]],"cursor":"x"}`:                "a further page of an answer of SQL's",
		`{"CommandLine":"ss -t","Pid":7,"a":1,"b":1,"c":1,"d":1,"e":1}`: "it is not of the Elastic Common Schema: its keys " +
			`are "CommandLine, Pid, a, b, c, d, ..."`,
		`{"hits":{"hits":[{"_source":{"job_id":"x","timestamp":1}}]}}`:          `its keys are "job_id, timestamp"`,
		`Mar  3 01:06:40 web1 go-audit: {"messages":[{"type":1300}]}`:           "it is go-audit's own",
		`{"type":"ingress.event.procstart"}`:                                    "it is Carbon Black's own",
		`{"streams":[{"stream":{},"values":[]}]}`:                               "what Promtail sends to Loki",
		`{"@timestamp":"2026-03-03T01:06:40Z","message":"Publish event: {\n}"}`: "a Beat's debug log: jq -r '.message |",
		`{"error":{"root_cause":[]},"status":404}`:                              "it is an error that Elasticsearch answered",
		`{"schema":[{"name":"@timestamp"}],"datarows":[]}`:                      "FILE is an answer of ES|QL or SQL",
		`{"took":1,"hits":{"total":{"value":3},"hits":[]}}`:                     "FILE is an answer without documents",
		`{"#event_simpleName":"ProcessRollup2","timestamp":"1"}`:                "it is CrowdStrike's own",
		`{"name":"process_events","calendarTime":"x","columns":{}}`:             "it is osquery's own",
		`{"output":"x","output_fields":{"proc.name":"ss"}}`:                     "it is an alert of Falco's",
		`{"name":"pack","host_identifier":"a","snapshot":[]}`:                   "it is osquery's own",
		`{"agent":{"id":"1"},"data":{"audit":{"type":"SYSCALL"}}}`:              "it is Wazuh's own",
		`{"tables":[{"name":"PrimaryResult","columns":[]}]}`:                    "it is an answer of Azure's",
		`{"resourceLogs":[{"scopeLogs":[]}]}`: "OpenTelemetry's schema: jq -c " +
			"'.resourceLogs[]",
		`{"data":{"resultType":"streams","result":[]}}`: "ask with logcli query -o jsonl",
		`{"time":1,"sourcetype":"_json","event":` + doc + `}`: "the document stands within it: jq -c '.event' FILE | " +
			"reconbeat replay -",
		`{"data":[` + doc + `]}`:                          "jq -c '.data[]' FILE",
		`{"1":` + doc + `,"2":` + doc + `}`:               "jq -c '.[]' FILE",
		`{"topic":"x","key":null,"value":` + doc + `}`:    "jq -c '.value' FILE",
		`{"a b":{"c":[[` + quoted(doc) + `]]}}`:           `jq -c '."a b".c[][] | fromjson' FILE`,
		`{"x":` + quoted(`{"y":`+doc+`}`) + `}`:           "jq -c '.x | fromjson | .y' FILE",
		`{"@timestamp":1700000000000,"json":` + doc + `}`: "jq -c '.json' FILE",
		`{"status":"success","data":{"result":[{"stream":{},"values":[["1",` + quoted(doc) + `]]}]}}`: "jq -c " +
			"'.data.result[].values[][] | fromjson' FILE",
		`{"_time":"2026-03-03T01:06:40Z","process":{}}`:                        `jq -c '."@timestamp" = ._time' FILE`,
		`{"event":{"created":"2026-03-03T01:06:40Z"},"process":{}}`:            `jq -c '."@timestamp" = .event.created' FILE`,
		`{"@timestamp":"yesterday","process":{}}`:                              `none that can be read: it is "yesterday"`,
		`{"ActionType":"ProcessCreated","FileName":"ss"}`:                      "it is Microsoft Defender's own",
		`{"@timestamp":1700000000000,"#event_simpleName":"x"}`:                 "it is CrowdStrike's own",
		`{"class_uid":1007,"process":{"name":"ss"},"time":1700000000}`:         "it is of the schema OCSF",
		"{\n \"a\": \"\"\"x\"\"\"\n}":                                          "FILE is what Kibana's Dev Tools show",
		"HTTP/1.1 200 OK\r\ncontent-type: x\r\n\r\n{\"hits\":{\"hits\":[]}}\n": "FILE is an answer of HTTP with its headers",
		`["type=1", 2]`: "none of the 2 lines of FILE is a document: line 1: not a JSON object",
		`{"timestamp":"2026-03-03T01:06:40Z","process":{}}`:             `jq -c '."@timestamp" = .timestamp' FILE`,
		`{"full_log":"type=CWD msg=audit(1.1:1): a=1"}`:                 "it is Wazuh's own",
		`{"__REALTIME_TIMESTAMP":"1772500000101234","MESSAGE":"hello"}`: "it is an entry of the journal",
		"[" + exec(1, 1)[:20]: "FILE is not a document",
		`{"took":1,"hits":{"total":{"value":1},"hits":[]},"aggregations":{"h":{"buckets":[{"top":` + doc + `}]}}}`: "" +
			"FILE is an answer without hits, and the document stands within it: jq -c '.aggregations.h.buckets[].top' FILE",
		`{"_index":"x","aggregations":{"h":1}}`: "it is an answer without documents",
		"{\n \"status\": \"Complete\",\n \"results\": [\n  [\n   {\"field\": \"@ptr\"}]]}": "" +
			"FILE is an answer of CloudWatch Logs Insights",
		`{"__REALTIME_TIMESTAMP":"1","MESSAGE":"<Provider Name=\"Linux-Sysmon\"/>"}`:         "it is Sysmon's own",
		`[{"cmdline":"ss -tan","pid":"4001","path":"/usr/bin/ss"}]`:                          "it is osquery's own",
		`{"host_display_name":"web1","rows":[{"pid":"4001"}]}`:                               "it is osquery's own",
		`{"upt_time":"2026-03-03 01:06:40","upt_hostname":"web1","pid":1}`:                   "it is Uptycs's own",
		`{"name":"sched_process_exec","timestamp":"2026-03-03T01:06:40Z","workload":{}}`:     "it is Tracee's own",
		`{"eventType":"Process Creation","processCmd":"ss"}`:                                 "it is SentinelOne's own",
		`{"event":{"FILE_PATH":"/usr/bin/ss"},"routing":{"event_type":"NEW_PROCESS"}}`:       "it is LimaCharlie's own",
		`{"action_process_image_name":"ss","agent_hostname":"web1"}`:                         "it is Cortex XDR's own",
		`{"info":{"event":{"source":"kunai","name":"execve"}},"data":{}}`:                    "it is Kunai's own",
		`{"evt":{"category":"Process Activity"},"process":{},"date":"2026-03-03T01:06:40Z"}`: "it is Datadog's own",
		`{"time":"2026-03-03T01:06:40Z","process":{"audit_token":{"pid":1}}}`:                "it is of macOS's",
		`{"EventID":4688,"NewProcessName":"C:\\x.exe"}`:                                      "an event of Windows",
		`{"kind":"Event","apiVersion":"audit.k8s.io/v1","verb":"get"}`:                       "it is of Kubernetes's audit",
		`{"accept":{"command":"/usr/bin/ss","runargv":["ss"]}}`:                              "it is sudo's own log",
		`{"@timestamp":1700000000000,"attributes":{"process.executable.path":"/usr/bin/ss"}}`: "it is of OpenTelemetry's " +
			"semantic conventions",
		`{"errors":false,"items":[{"create":{"_id":"1","status":201}}]}`:     "it is what the bulk API has answered",
		`{"hits":{"hits":[{"_index":"x","_id":"1"}]}}`:                       "ask for _source",
		`{"hits":{"hits":[{"_index":"x","_source":{"process":{"pid":1}}}]}}`: "ask for all of _source",
	} {
		path := filepath.Join(t.TempDir(), "events")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		assert.True(t, Recognises([]byte(text)), text)
		r := newRig(t, true, map[string]any{"paths": []string{path}})
		err := r.Run(t.Context(), process.Cursor{}, func(*process.Event) error { return nil })
		assert.ErrorContains(t, err, strings.ReplaceAll(want, "FILE", path), text)
	}
}

// What a message's command writes is read: of answers with names apart from values, and of texts in texts.
func TestACommandMakesTheFileReadable(t *testing.T) {
	if _, err := osexec.LookPath("jq"); err != nil {
		t.Skip("SKIPPED, NOTHING WAS TESTED: there is no jq")
	}
	const names = `[{"name":"@timestamp"},{"name":"process.name"},{"name":"process.pid"}]`
	const rows = `[[1700000000000,"ss",7],[1700000060000,"ss",8]]`
	const columns = `[[1700000000000,1700000060000],["ss","ss"],[7,8]]`
	one, two := exec(1700000000, 7), exec(1700000060, 8)
	published := "Publish event: " + pretty(1700000000, 7)
	for _, text := range []string{
		`{"took":1,"columns":` + names + `,"values":` + rows + `}`,
		`{"columns":` + names + `,"values":` + columns + `}`,
		`{"columns":` + names + `,"rows":` + rows + `}`,
		`{"schema":` + names + `,"datarows":` + rows + `}`,
		`{"rawResponse":{"columns":` + names + `,"values":` + rows + `}}`,
		`{"id":"x","is_running":false,"columns":` + names + `,"values":` + rows + `}`,
		quoted(quoted(one)) + "\n" + quoted(quoted(two)),
		"INFO\tx\nDEBUG\t" + published + "\nDEBUG\tPublish event: " + pretty(1700000060, 8) + "\nINFO\tx\n",
		`{"@timestamp":1,"message":` + quoted(published) + "}\n" +
			`{"@timestamp":1,"message":` + quoted("Publish event: "+two) + `}`,
	} {
		t.Chdir(t.TempDir())
		require.NoError(t, os.WriteFile("file", []byte(text), 0o600))
		r := newRig(t, true, map[string]any{"paths": []string{"file"}})
		err := r.Run(t.Context(), process.Cursor{}, func(*process.Event) error { return nil })
		require.Error(t, err, text)
		command := regexp.MustCompile(`(jq -[cr]|sed -n) '.*' file`).FindString(err.Error())
		require.NotEmpty(t, command, err)
		out, err := osexec.Command("bash", "-c", command).Output()
		require.NoError(t, err, command)
		require.NoError(t, os.WriteFile("file", out, 0o600))
		events := newRig(t, true, map[string]any{"paths": []string{"file"}}).replayed(t)
		require.Len(t, events, 2, command)
		require.EqualValues(t, 7, events[0].PID, command)
		require.EqualValues(t, 8, events[1].PID, command)
	}
}

// The command in a message reads the file as it is: packed, in UTF-16, with a blank in its name.
func TestACommandReadsTheFileAsItIs(t *testing.T) {
	if _, err := osexec.LookPath("jq"); err != nil {
		t.Skip("SKIPPED, NOTHING WAS TESTED: there is no jq")
	}
	text := `{"data":[` + exec(1700000000, 7) + "]}\n"
	utf16, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(text)
	require.NoError(t, err)
	gz := func(text string) string {
		var b strings.Builder
		w := gzip.NewWriter(&b)
		_, err := w.Write([]byte(text))
		require.NoError(t, errors.Join(err, w.Close()))
		return b.String()
	}
	for name, contents := range map[string]string{
		"a plain one's.json": text, "packed.gz": gz(text), "-wide": utf16, "packed and wide.gz": gz(utf16),
	} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(contents), 0o600))
		t.Chdir(dir)
		r := newRig(t, true, map[string]any{"paths": []string{name}})
		err := r.Run(t.Context(), process.Cursor{}, func(*process.Event) error { return nil })
		require.Error(t, err, name)
		_, command, _ := strings.Cut(err.Error(), "within it: ")
		command, _, ok := strings.Cut(command, " | reconbeat")
		require.True(t, ok, err)
		out, err := osexec.Command("bash", "-c", command).Output()
		require.NoError(t, err, command)
		require.Contains(t, string(out), `"pid":7`, command)
	}
}
