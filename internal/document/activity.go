// SPDX-License-Identifier: Apache-2.0

package document

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/process"
)

// The fields of what else ran in the session of an exec.
const (
	beforeField    = "reconbeat.activity.before"
	afterField     = "reconbeat.activity.after"
	truncatedField = "reconbeat.activity.truncated"
)

// recentFields are those of each exec that ran before or after, by their types in Elasticsearch.
var recentFields = map[string]string{
	"time": "date", "pid": "long", "name": "keyword", "command_line": "keyword", "parent.name": "keyword",
	"exit_code": "long", "technique.id": "keyword",
}

// activityFields are the fields of what else ran, by their types in Elasticsearch.
func activityFields() map[string]string {
	fields := map[string]string{truncatedField: "boolean"}
	for name, typ := range recentFields {
		fields[beforeField+"."+name], fields[afterField+"."+name] = typ, typ
	}
	return fields
}

// isBefore reports whether a field is one of what ran before, which an alert has.
func isBefore(field string) bool {
	name, of := strings.CutPrefix(field, beforeField+".")
	return field == truncatedField || of && recentFields[name] != ""
}

// maxActivity bounds what a document says of what else ran, in bytes of JSON.
const maxActivity = 6 << 10

// addActivity says in an alert what else ran in its session before it, the oldest first.
func (m *Maker) addActivity(fields mapstr.M, e *process.Event) {
	list, truncated := m.before(e)
	putActivity(fields, beforeField, list, truncated)
}

func putActivity(fields mapstr.M, field string, list []mapstr.M, truncated bool) {
	if len(list) > 0 {
		put(fields, field, list)
	}
	if truncated {
		put(fields, truncatedField, true)
	}
}

// before is what ran before an exec, and whether older execs were left out for want of room.
func (m *Maker) before(e *process.Event) (list []mapstr.M, truncated bool) {
	return m.activity(m.Table.Recent(e))
}

// activity is a list of execs in a document, and whether older ones were left out for want of room.
func (m *Maker) activity(execs []process.Recent) (list []mapstr.M, truncated bool) {
	size := 0
	for i := len(execs) - 1; i >= 0; i-- {
		one := m.encodeRecent(&execs[i])
		text, err := json.Marshal(one)
		if size += len(text); err != nil || size > maxActivity {
			truncated = true
			break
		}
		list = append(list, one)
	}
	slices.Reverse(list)
	return list, truncated
}

// beforeValue is a field of what ran before: its values in all execs that have it; nil: none has.
func (m *Maker) beforeValue(e *process.Event, field string) any {
	list, truncated := m.before(e)
	if field == truncatedField {
		return map[bool]any{true: true}[truncated]
	}
	var values []string
	for _, one := range list {
		switch v, _ := one.GetValue(strings.TrimPrefix(field, beforeField+".")); v := v.(type) {
		case nil:
		case []string:
			values = append(values, v...)
		default:
			values = append(values, fmt.Sprint(v))
		}
	}
	if values == nil {
		return nil
	}
	return values
}

func (m *Maker) encodeRecent(r *process.Recent) mapstr.M {
	fields := mapstr.M{"time": r.Time, "pid": int64(r.PID)}
	for name, v := range map[string]string{
		"name": r.Name, "parent.name": r.Parent,
		"command_line": cutCommand(strings.Join(r.Args, " "), len(r.Args) < r.ArgsCount),
	} {
		if v != "" {
			put(fields, name, strings.ToValidUTF8(v, "\ufffd"))
		}
	}
	if r.Exited {
		fields["exit_code"] = int64(r.ExitCode)
	}
	if ids := m.Detector.Techniques(&r.Process); len(ids) > 0 {
		put(fields, "technique.id", ids)
	}
	return fields
}
