// SPDX-License-Identifier: Apache-2.0

package document

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/process"
)

// The fields of the processes through which an exec came about. The second has the entity ids alone, where Elastic
// Security looks for them.
const (
	ancestryField = "reconbeat.ancestry"
	entitiesField = "process.Ext.ancestry"
)

// ancestryFields are the fields of a line, by their types in Elasticsearch.
var ancestryFields = map[string]string{
	entitiesField: "keyword", ancestryField + ".entity_id": "keyword", ancestryField + ".pid": "long",
	ancestryField + ".name": "keyword", ancestryField + ".executable": "keyword",
	ancestryField + ".command_line": "keyword", ancestryField + ".working_directory": "keyword",
	ancestryField + ".start": "date", ancestryField + ".user.id": "keyword", ancestryField + ".user.name": "keyword",
}

// maxCommandLine bounds the command line of an ancestor, in bytes; what is cut ends with an ellipsis.
const maxCommandLine = 512

// addAncestry says in an alert through which processes its exec came about, the parent first.
func (m *Maker) addAncestry(fields mapstr.M, e *process.Event, from *Source) {
	line := m.ancestry(e, from)
	if len(line) == 0 {
		return
	}
	list, ids := make([]mapstr.M, len(line)), make([]string, 0, len(line))
	for i := range line {
		list[i] = encodeAncestor(&line[i])
		if id := line[i].EntityID; id != "" {
			ids = append(ids, id)
		}
	}
	put(fields, ancestryField, list)
	if len(ids) > 0 {
		put(fields, entitiesField, ids)
	}
}

// ancestry is the line with the names of its users, where the host's own are meant.
func (m *Maker) ancestry(e *process.Event, from *Source) []process.Process {
	line := m.Table.Ancestry(e)
	if from.Local && m.Accounts != nil && e.Host == (process.Host{}) && e.Container.ID == "" {
		for i := range line {
			m.Accounts.Name(&line[i].User)
		}
	}
	return line
}

// ancestryValue is a field of the line: its values in all processes that have it; nil: none has.
func (m *Maker) ancestryValue(e *process.Event, from *Source, field string) any {
	name := "entity_id"
	if field != entitiesField {
		name = strings.TrimPrefix(field, ancestryField+".")
	}
	var values []string
	for _, p := range m.ancestry(e, from) {
		if v, err := encodeAncestor(&p).GetValue(name); err == nil {
			values = append(values, fmt.Sprint(v))
		}
	}
	if values == nil {
		return nil
	}
	return values
}

func encodeAncestor(p *process.Process) mapstr.M {
	m := mapstr.M{"pid": int64(p.PID)}
	for name, v := range map[string]string{
		"entity_id": p.EntityID, "name": p.Name, "executable": p.Executable, "working_directory": p.CWD,
		"command_line": cutCommand(strings.Join(p.Args, " "), len(p.Args) < p.ArgsCount), "user.name": p.User.Name,
	} {
		if v != "" {
			put(m, name, strings.ToValidUTF8(v, "\ufffd"))
		}
	}
	if p.User.ID != process.Unset {
		put(m, "user.id", strconv.FormatUint(uint64(p.User.ID), 10))
	}
	if !p.Start.IsZero() {
		m["start"] = p.Start
	}
	return m
}

// cutCommand cuts a command line to its bound, between two characters.
func cutCommand(line string, cut bool) string {
	if len(line) > maxCommandLine {
		n := maxCommandLine
		for n > maxCommandLine-utf8.UTFMax && !utf8.RuneStart(line[n]) {
			n--
		}
		line, cut = line[:n], true
	}
	if cut {
		line += " …"
	}
	return line
}
