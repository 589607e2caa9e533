// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// wrapping returns the JSON document that a line is, without what journalctl's json-seq and json-sse put before it.
func wrapping(line []byte) (doc []byte, ok bool) {
	line = bytes.TrimPrefix(bytes.TrimPrefix(line, []byte("\x1e")), []byte("data: "))
	return line, len(line) > 1 && line[0] == '{'
}

// parseBehindHeader is parseCarried for a document behind what a syslog daemon or logcli has put before it, which may
// name the host.
func parseBehindHeader(line []byte) (typ uint16, body, node []byte, ok bool) {
	i := bytes.Index(line, []byte(`{"`))
	if i < 1 || line[len(line)-1] != '}' || bytes.IndexByte([]byte(" \t:"), line[i-1]) < 0 ||
		bytes.Contains(line[:i], typeMark) {
		return 0, nil, nil, false
	}
	typ, body, node, err := parseCarried(line[i:])
	if err != nil {
		return 0, nil, nil, false
	}
	if node == nil && bytes.IndexByte(line[:i], '\t') < 0 { // Fluentd has its tag between tabs
		node = namedBefore(line[:i])
	}
	return typ, body, node, true
}

// carrier is a JSON document around a record, by its keys.
type carrier map[string]jsontext.Value

// text is the string of the first key that has one. A list of strings is the lines of one, and one of numbers its
// bytes: the journal has it so where some cannot be printed.
func (c carrier) text(keys ...string) string {
	for _, key := range keys {
		v := c[key]
		switch v.Kind() {
		case '"':
			text, _ := jsontext.AppendUnquote(nil, v) // of lone surrogates, which have become U+FFFD, it complains
			return string(text)
		case '[':
			var lines []string
			if json.Unmarshal(v, &lines, lenient) == nil {
				return strings.Join(lines, "\n")
			}
			var numbers []uint16 // of uint8 it wants a text in base64
			if json.Unmarshal(v, &numbers) == nil {
				text := make([]byte, len(numbers))
				for i, n := range numbers {
					text[i] = byte(n)
				}
				return string(text)
			}
		}
	}
	return ""
}

// below is the document below a key.
func (c carrier) below(key string) carrier {
	var inner carrier
	if v := c[key]; v.Kind() == '{' {
		_ = json.Unmarshal(v, &inner, lenient)
	}
	return inner
}

var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// parseCarried is ParseLine for a document around a record: of Filebeat, Docker, rsyslog, Vector and their like, which
// carry the line as a text, or of the journal (journalctl -o json), which has the record in parts.
func parseCarried(doc []byte) (typ uint16, body, node []byte, err error) {
	return carriedBy(doc, mostCarried)
}

// mostCarried is how many documents may be within each other: Kafka's has Docker's, and that Filebeat's.
const mostCarried = 3

// carriedBy is parseCarried for a document that may carry others, so many deep.
func carriedBy(doc []byte, deep int) (typ uint16, body, node []byte, err error) {
	if !bytes.Contains(doc, []byte("audit")) && !bytes.Contains(doc, []byte("_AUDIT_ID")) {
		return 0, nil, nil, ErrNoRecord
	}
	var c carrier
	if err := json.Unmarshal(doc, &c, lenient); err != nil {
		return 0, nil, nil, fmt.Errorf("%w: %w", ErrNoRecord, err)
	}
	if hit := c.below("_source"); hit != nil { // as a search returns it
		c = hit
	} else if hit := c.below("fields"); hit != nil && c["_index"] != nil {
		c = hit
	}
	if c.isEvent() {
		return 0, nil, nil, ErrNoRecord
	}
	line := strings.TrimRight(c.line(), "\r\n")
	switch inner, isDocument := wrapping([]byte(line)); {
	case line == "", isDocument && deep == 1:
		return 0, nil, nil, ErrNoRecord
	case isDocument:
		typ, body, node, err = carriedBy(inner, deep-1)
	default:
		typ, body, node, err = ParseLine([]byte(line))
	}
	if err != nil {
		return 0, nil, nil, err
	}
	if node == nil {
		if name := c.host(); name != "" {
			node = []byte(name)
		}
	}
	return typ, body, node, nil
}

// isEvent says whether a document is an event of its own. One of the integration Auditd Logs is a record, of which it
// has the text where the integration preserves it.
func (c carrier) isEvent() bool {
	if c["auditd.log.record_type"] != nil || c.below("auditd").below("log") != nil {
		return false
	}
	for key := range c {
		if name, _, _ := strings.Cut(key, "."); name == "process" || name == "auditd" {
			return true
		}
	}
	return false
}

// line is the record that a document carries, as the journal, Filebeat, Docker, rsyslog, Vector, Splunk's logs, Kafka
// or Wazuh name it, or else whatever text has one; empty: none.
func (c carrier) line() string {
	line := c.journal()
	if line == "" {
		line = c.text("message", "log", "event.original", "MESSAGE", "msg", "line", "payload", "_raw", "full_log",
			"short_message", "textPayload", "event", "value", "content", "text", "body", "@rawstring")
	}
	if !strings.Contains(line, recordMark) {
		line = cmp.Or(c.recordWithin(recordDepth), line)
	}
	return line
}

// recordMark is in every record.
const recordMark = "audit("

// recordDepth is how deep in a document's objects a record is looked for.
const recordDepth = 3

// recordWithin is a text with a record in the document or in its objects; empty: there is none.
func (c carrier) recordWithin(depth int) string {
	for _, key := range slices.Sorted(maps.Keys(c)) {
		text := ""
		switch v := c[key]; {
		case v.Kind() == '{' && depth > 1:
			text = c.below(key).recordWithin(depth - 1)
		case bytes.Contains(v, []byte(recordMark)):
			text = c.text(key)
		}
		if strings.Contains(text, recordMark) {
			return text
		}
	}
	return ""
}

// host is the name of the host that a document is of, or else of the agent that read it there; empty: none is named.
func (c carrier) host() string {
	name := c.name(hostKeys...)
	for _, of := range []string{"host", "agent", "beat", "labels", "stream", "result", "content"} {
		if name == "" {
			name = c.below(of).name("name", "hostname", "host", "compute.googleapis.com/resource_name")
		}
	}
	if name == "" { // of CloudWatch, whose agent has a stream for each machine
		name = c.name("logStreamName", "@logStream")
	}
	if name == "" {
		name = c.hostWithin(recordDepth)
	}
	if source := c.name("source"); name == "" && isGraylogs(source) {
		name = source
	}
	return name
}

// hostKeys are what programs call the host of a line, those first that another host's relay does not set.
var hostKeys = []string{
	"_HOSTNAME", "logsource", "host", "hostname", "host.name", "host.hostname", "#host", "_sourcehost", "_sourceHost",
	"HOST", "Hostname", "Computer", "nodename", "log.syslog.hostname", "instance_id",
}

// hostWithin is the host that the document or one of its objects names; empty: none does.
func (c carrier) hostWithin(depth int) string {
	name := c.name(hostKeys...)
	for _, key := range slices.Sorted(maps.Keys(c)) {
		if name == "" && depth > 1 && c[key].Kind() == '{' {
			name = c.below(key).hostWithin(depth - 1)
		}
	}
	return name
}

// name is text of one line: of a list the first.
func (c carrier) name(keys ...string) string {
	name, _, _ := strings.Cut(c.text(keys...), "\n")
	return name
}

// isGraylogs says whether what a document calls its source is a host, as in Graylog, and no file or stream, as
// elsewhere.
func isGraylogs(source string) bool {
	return !strings.ContainsAny(source, "/\\: ") && !strings.HasPrefix(source, "std")
}

// journal is the line that auditd would have written of a document of the journal; empty: it is none of audit's.
func (c carrier) journal() string {
	name, number := c.text("_AUDIT_TYPE_NAME", "_AUDIT_TYPE"), c.text("_AUDIT_ID")
	_, fields, ok := strings.Cut(c.text("MESSAGE", "message"), " ") // behind the type's name; the latter is Vector's
	at := c.text("_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP")
	if name == "" || number == "" || !ok || len(at) < len("1000000") {
		return ""
	}
	seconds, rest := at[:len(at)-6], at[len(at)-6:]
	return "type=" + name + " msg=audit(" + seconds + "." + rest[:3] + ":" + number + "): " + fields
}
