// SPDX-License-Identifier: Apache-2.0

package ndjson

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/reconbeat/reconbeat/ecs"
	"github.com/reconbeat/reconbeat/module/recording"
	"github.com/reconbeat/reconbeat/process"
)

// logEvery is how often the log speaks of malformed lines; in between they are counted.
const logEvery = time.Minute

// trouble is what was wrong with lines of a file.
type trouble struct {
	path   string
	line   uint64    // the number of the line that is being read, since reading began
	first  error     // what was wrong first in this file
	last   error     // what was wrong last, not yet logged
	count  uint64    // how often, not yet logged
	logged time.Time // when the log last spoke of it
}

func (t *trouble) add(err error) {
	t.last = fmt.Errorf("line %d: %w", t.line, err)
	t.count++
	if t.first == nil {
		t.first = t.last
	}
}

// idle logs malformed lines when it is time to.
func (m *documents) idle() error {
	if m.trouble.count > 0 && time.Since(m.trouble.logged) >= logEvery {
		m.log(&m.trouble)
	}
	return nil
}

// log logs the malformed lines that the log does not have yet.
func (m *documents) log(t *trouble) {
	switch {
	case t.count == 0:
		return
	case t.count == 1:
		m.env.Logger.Warnf("%s: a line is not a document and is passed over: %v", t.path, t.last)
	default:
		m.env.Logger.Warnf("%s: %d lines are not documents and are passed over, the last: %v", t.path, t.count, t.last)
	}
	t.count, t.logged = 0, time.Now()
}

// foreign are the documents that are no ECS: by a key, whose they are, and what gives documents that are read.
var foreign = []struct{ key, what string }{
	{`{"error":`, "it is an error that Elasticsearch answered"},
	{`Linux-Sysmon\"`, sysmons}, // in XML, which the journal and syslog daemons carry
	{`"_AUDIT_ID":`, "it is a record of audit in the journal: jq -c . FILE | reconbeat replay --module auditlog -"},
	{`"__REALTIME_TIMESTAMP":`, "it is an entry of the journal, of which those of audit are read: " +
		"journalctl _TRANSPORT=audit -o json | reconbeat replay -"},
	{`event_simpleName":`, "it is CrowdStrike's own: ship it with the integration CrowdStrike, and replay its documents"},
	{`"calendarTime":`, osquerys},
	{`"hostIdentifier":`, osquerys},
	{`"host_identifier":`, osquerys},
	{`"output_fields":`, "it is an alert of Falco's, which has no parents and no arguments"},
	{`"process_exec":`, "it is Tetragon's own: ship it as ECS"},
	{`"process_exit":`, "it is Tetragon's own: ship it as ECS"},
	{`"process_kprobe":`, "it is Tetragon's own: ship it as ECS"},
	{`"eventName":`, "it is Tracee's own: ship it as ECS"},
	{`"SYSCALL":`, "it is LAUREL's own: replay auditd's log, from which LAUREL makes it"},
	{`"messages":[{`, "it is go-audit's own: ship it as ECS"},
	{`"full_log":`, wazuhs},
	{`"data":{"audit":{`, wazuhs},
	{`{"tables":[{"name":"PrimaryResult"`, "it is an answer of Azure's, which has names apart from values: export the " +
		"documents as JSON"},
	{`"Linux-Sysmon"`, sysmons},
	{`"ActionType":`, "it is Microsoft Defender's own: ship it with the integration Microsoft Defender XDR, and replay " +
		"its documents"},
	{`"endpoint.event.`, carbonBlacks},
	{`"ingress.event.`, carbonBlacks},
	{`"message":"Publish event: {`, "it is of a Beat's debug log: jq -r '.message | " +
		"select(startswith(\"Publish event: \")) | .[15:]' FILE | reconbeat replay -"},
	{`{"streams":[{"stream":`, "it is what Promtail sends to Loki: ask Loki with logcli query -o jsonl"},
	{`{"rows":[[`, "it is a further page of an answer of SQL's, which lacks the names: ask for all on one page " +
		"(fetch_size)"},
	{`"src.process.`, "it is SentinelOne's own: ship it with the integration SentinelOne Cloud Funnel, and replay its " +
		"documents"},
	{`"resourceLogs":`, "it is of OpenTelemetry's schema: jq -c '.resourceLogs[] | ([.resource.attributes[]? | " +
		"select(.key == \"host.name\").value.stringValue][0]) as $host | .scopeLogs[].logRecords[] | {host: $host, " +
		"message: .body.stringValue}' FILE | reconbeat replay -"},
	{`"class_uid":`, "it is of the schema OCSF: ship it as ECS"},
	{`"PROCESS_LAUNCH"`, "it is of Google's schema UDM: ship it as ECS"},
	{`"Operation":"Process"`, "it is KubeArmor's own: ship it as ECS"},
	{`"evt.type":`, "it is Sysdig's own: ship it as ECS"},
	{`"mntns_id":`, "it is Inspektor Gadget's own: ship it as ECS"},
	{`"datarows":`, "it is an answer of SQL or PPL: ask with _search"},
	{`"host_display_name":`, osquerys},
	{`"upt_hostname":`, "it is Uptycs's own: ship it as ECS"},
	{`"name":"sched_process_exec"`, "it is Tracee's own: ship it as ECS"},
	{`"processCmd":`, "it is SentinelOne's own: ship it with the integration SentinelOne Cloud Funnel, and replay its " +
		"documents"},
	{`"event_type":"NEW_PROCESS"`, "it is LimaCharlie's own: ship it as ECS"},
	{`"action_process_image_`, "it is Cortex XDR's own: ship it as ECS"},
	{`"source":"kunai"`, "it is Kunai's own: ship it as ECS"},
	{`"evt":{"category":"Process Activity"`, "it is Datadog's own: ship it as ECS"},
	{`"audit_token":{`, "it is of macOS's Endpoint Security (eslogger), and reconbeat watches Linux"},
	{`"EventID":4688`, "it is an event of Windows, and reconbeat watches Linux"},
	{`"apiVersion":"audit.k8s.io/`, "it is of Kubernetes's audit, which knows of no processes: have auditd report " +
		"program starts on the nodes"},
	{`"runargv":[`, "it is sudo's own log, which has only what sudo starts: have auditd report program starts"},
	{`"process.executable.path":`, "it is of OpenTelemetry's semantic conventions: ship it as ECS"},
	{`"items":[{"create":{`, bulks},
	{`"items":[{"index":{`, bulks},
}

const wazuhs = "it is Wazuh's own: replay the audit.log of its agent"

const sysmons = "it is Sysmon's own: ship it with the integration Sysmon for Linux, and replay its documents"

const carbonBlacks = "it is Carbon Black's own: ship it with the integration VMware Carbon Black Cloud, and replay " +
	"its documents"

const bulks = "it is what the bulk API has answered: replay what was sent to it"

const osquerys = "it is osquery's own: have auditd report program starts, or ship process_events as ECS"

// explained adds to an error what is most likely the matter. shell is how a command names the text.
func explained(shell string, doc []byte, err error) error {
	if bytes.Equal(doc, []byte("{")) || bytes.Equal(doc, []byte("[")) {
		return fmt.Errorf("%w; it may be pretty-printed JSON: write one document a line (jq -c)", err)
	}
	if !errors.Is(err, ecs.ErrNoTimestamp) {
		return err
	}
	if why := cmp.Or(meant(shell, doc), keysOf(doc)); why != "" {
		return fmt.Errorf("%w; %s", err, why)
	}
	return err
}

// keysShown is how many keys of a strange document a message has.
const keysShown = 6

// keysOf says what an object has instead of a time and a process; empty: it has nothing, or a process.
func keysOf(doc []byte) string {
	var root map[string]jsontext.Value
	if json.Unmarshal(doc, &root, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		return ""
	}
	if source := root["_source"]; source.Kind() == '{' {
		return keysOf(source)
	}
	keys := slices.Sorted(maps.Keys(root))
	if len(keys) == 0 || slices.ContainsFunc(keys, isProcessKey) {
		return ""
	}
	if len(keys) > keysShown {
		keys = append(keys[:keysShown], "...")
	}
	return fmt.Sprintf("it is not of the Elastic Common Schema: its keys are %q", strings.Join(keys, ", "))
}

// meant says what a document of which nothing is understood may be, and what gives one that is read; empty: nobody
// knows. shell is how a command names the text.
func meant(shell string, doc []byte) string {
	compact := jsontext.Value(bytes.Clone(doc))
	if compact.Compact(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		return ""
	}
	for _, f := range foreign {
		if bytes.Contains(compact, []byte(f.key)) {
			return strings.ReplaceAll(f.what, "FILE", shell)
		}
	}
	parsed, err := parse(compact)
	if err != nil {
		return ""
	}
	root, _ := parsed.(map[string]any)
	if where := elsewhere(shell, parsed); where != "" {
		return where
	}
	if bytes.Contains(compact, []byte(`"aggregations":`)) {
		return "it is an answer without documents"
	}
	if bytes.Contains(compact, []byte(`"resultType":"streams"`)) {
		return "it is an answer of Loki's: ask with logcli query -o jsonl"
	}
	if _, ok := root["_index"]; ok && root["_source"] == nil && root["fields"] == nil {
		return "the search has left out the document: ask for _source"
	}
	if hit, ok := root["_source"].(map[string]any); ok && hit["@timestamp"] == nil && aboutProcess(hit) {
		return "the search may have left out a part of the document: ask for all of _source"
	}
	if name := timeOf(root); name != "" {
		return fmt.Sprintf(`its time has another name: jq -c '."@timestamp" = %s' %s | reconbeat replay -`, name, shell)
	}
	if root["cmdline"] != nil && root["pid"] != nil { // as osqueryi --json prints it
		return osquerys
	}
	return ""
}

// elsewhere says where in parsed JSON a document stands that is not all of it; empty: there is none.
func elsewhere(shell string, parsed any) string {
	where := within(parsed, deepest)
	if where == "" || where == "." {
		return ""
	}
	return fmt.Sprintf("the document stands within it: jq -c '%s' %s | reconbeat replay -", where, shell)
}

// parse is what a text of JSON says, in Go's values.
func parse(text []byte) (parsed any, err error) {
	err = json.Unmarshal(text, &parsed, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return parsed, err
}

// deepest is how deep in a document another one is looked for.
const deepest = 12

// searched is how many elements of a list are searched.
const searched = 8

// within is jq's path to the documents in a value, "." where it is one itself; empty: there are none.
func within(v any, depth int) string {
	if depth == 0 {
		return ""
	}
	switch v := v.(type) {
	case map[string]any:
		if isDocument(v) {
			return "."
		}
		documents := 0
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if inner, ok := v[key].(map[string]any); ok && isDocument(inner) {
				documents++
			}
		}
		if documents > 1 { // each below a name of its own
			return ".[]"
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if where := within(v[key], depth-1); where != "" {
				return joined(selector(key), where)
			}
		}
	case []any:
		for _, element := range v[:min(len(v), searched)] {
			if where := within(element, depth-1); where != "" {
				return joined(".[]", where)
			}
		}
	case string:
		var inner any
		if text := strings.TrimSpace(v); strings.HasPrefix(text, "{") && json.Unmarshal([]byte(text), &inner) == nil {
			if where := within(inner, depth-1); where != "" {
				return joined(". | fromjson", where)
			}
		}
	}
	return ""
}

// isDocument says whether an object has a time and says something of a process.
func isDocument(v map[string]any) bool {
	if _, ok := v["@timestamp"]; !ok {
		return false
	}
	return aboutProcess(v)
}

func aboutProcess(v map[string]any) bool {
	for key := range v {
		if isProcessKey(key) {
			return true
		}
	}
	return false
}

func isProcessKey(key string) bool {
	name, _, _ := strings.Cut(key, ".")
	return name == "process"
}

// joined is the path that leads on by a second one.
func joined(first, second string) string {
	switch {
	case second == ".":
		return first
	case strings.HasPrefix(second, ". |"):
		return first + second[1:]
	case strings.HasPrefix(first, ". |"):
		return first + " | " + second
	case strings.HasPrefix(second, ".["):
		return first + second[1:]
	}
	return first + second
}

// selector is jq's path to a member.
func selector(key string) string {
	for _, c := range key {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' {
			return fmt.Sprintf(".%q", key)
		}
	}
	return "." + key
}

// timeOf is jq's path to the time of a document of a process that has it under another name; empty: it has none.
func timeOf(v map[string]any) string {
	if _, ok := v["@timestamp"]; ok || !aboutProcess(v) {
		return ""
	}
	for _, name := range []string{
		"timestamp", "Timestamp", "_time", "time", "ts", "date", "datetime", "eventTime", "event_time", "event.created",
		"created", "event.start", "event.ingested",
	} {
		object, key := v, name
		if outer, inner, ok := strings.Cut(name, "."); ok && v[name] == nil {
			object, _ = v[outer].(map[string]any)
			key = inner
		}
		if object[key] == nil {
			continue
		}
		text, err := json.Marshal(map[string]any{"@timestamp": object[key]})
		if err != nil {
			continue
		}
		var d ecs.Decoder
		var e process.Event
		if d.Decode(text, &e) != nil {
			continue
		}
		if outer, inner, ok := strings.Cut(name, "."); ok && v[name] == nil {
			return selector(outer) + selector(inner)
		}
		return selector(name)
	}
	return ""
}

// isAction says whether a line is one of the bulk API's, which says where the document goes that follows.
func isAction(line []byte) bool {
	line = bytes.TrimLeft(bytes.TrimPrefix(line, []byte("{")), recording.Blank)
	for _, action := range []string{`"index"`, `"create"`, `"update"`, `"delete"`} {
		if rest, ok := bytes.CutPrefix(line, []byte(action)); ok {
			rest = bytes.TrimLeft(bytes.TrimPrefix(bytes.TrimLeft(rest, recording.Blank), []byte(":")), recording.Blank)
			return len(rest) > 0 && rest[0] == '{'
		}
	}
	return false
}
