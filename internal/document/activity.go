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
	truncatedField = "reconbeat.activity.truncated"
)

// activityFields are the fields of what else ran, by their types in Elasticsearch.
var activityFields = map[string]string{
	beforeField + ".time": "date", beforeField + ".pid": "long", beforeField + ".name": "keyword",
	beforeField + ".command_line": "keyword", beforeField + ".parent.name": "keyword",
	beforeField + ".exit_code": "long", beforeField + ".technique.id": "keyword", truncatedField: "boolean",
}

// maxActivity bounds what an alert says of what else ran, in bytes of JSON.
const maxActivity = 6 << 10

// addActivity says in an alert what else ran in its session before it, the oldest first.
func (m *Maker) addActivity(fields mapstr.M, e *process.Event) {
	list, truncated := m.activity(e)
	if len(list) > 0 {
		put(fields, beforeField, list)
	}
	if truncated {
		put(fields, truncatedField, true)
	}
}

// activity is what ran before an exec, and whether older execs were left out for want of room.
func (m *Maker) activity(e *process.Event) (list []mapstr.M, truncated bool) {
	before := m.Table.Recent(e)
	size := 0
	for i := len(before) - 1; i >= 0; i-- {
		one := m.encodeRecent(&before[i])
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

// activityValue is a field of what else ran: its values in all execs that have it; nil: none has.
func (m *Maker) activityValue(e *process.Event, field string) any {
	list, truncated := m.activity(e)
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
