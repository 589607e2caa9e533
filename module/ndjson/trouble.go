// SPDX-License-Identifier: Apache-2.0

package ndjson

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/reconbeat/reconbeat/ecs"
	"github.com/reconbeat/reconbeat/module/recording"
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
	{`"_AUDIT_ID":`, "it is a record of audit in the journal: jq -c . FILE | reconbeat replay --module auditlog -"},
	{`"__REALTIME_TIMESTAMP":`, "it is an entry of the journal, of which those of audit are read: " +
		"journalctl _TRANSPORT=audit -o json | reconbeat replay -"},
	{`event_simpleName":`, "it is CrowdStrike's own: ship it with the integration CrowdStrike, and replay its documents"},
	{`"calendarTime":`, "it is osquery's own: have auditd report program starts, or ship process_events as ECS"},
	{`"output_fields":`, "it is an alert of Falco's, which has no parents and no arguments"},
	{`"process_exec":`, "it is Tetragon's own: ship it as ECS"},
	{`"sched_process_exec"`, "it is Tracee's own: ship it as ECS"},
	{`"SYSCALL":`, "it is LAUREL's own: replay auditd's log, from which LAUREL makes it"},
	{`"messages":[{`, "it is go-audit's own: ship it as ECS"},
	{`"full_log":`, "it is Wazuh's own: replay the audit.log of its agent"},
	{`"datarows":`, "it is an answer of SQL or PPL: ask with _search"},
	{`"sourcetype":`, "it wraps the document for Splunk: jq -c .event FILE | reconbeat replay -"},
	{`"aggregations":`, "it is an answer without documents"},
	{`"timestamp":`, `its time has another name: jq -c '."@timestamp" = .timestamp' FILE | reconbeat replay -`},
}

// explained adds to an error what is most likely the matter.
func explained(path string, line []byte, err error) error {
	if bytes.Equal(line, []byte("{")) || bytes.Equal(line, []byte("[")) {
		return fmt.Errorf("%w; it may be pretty-printed JSON: write one document a line (jq -c)", err)
	}
	if !errors.Is(err, ecs.ErrNoTimestamp) {
		return err
	}
	compact := jsontext.Value(bytes.Clone(line))
	if compact.Compact(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		return err
	}
	for _, f := range foreign {
		if bytes.Contains(compact, []byte(f.key)) {
			return fmt.Errorf("%w; %s", err, strings.ReplaceAll(f.what, "FILE", path))
		}
	}
	return err
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
