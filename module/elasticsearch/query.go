// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/reconbeat/reconbeat/process"
)

// object is a JSON object of a request.
type object = map[string]any

// sourceFields are the parts of a document that are read. The others, which are most, do not travel.
var sourceFields = []string{
	"@timestamp", "event", "host.id", "host.name", "host.hostname", "host.os", "user", "group", "process", "auditd",
	"container", "source.ip", "reconbeat", "agent.hostname", "agent.name", "metricset.name",
}

// leftOut are the parts of those that are large, and that nothing reads.
var leftOut = []string{
	"event.original", "auditd.paths", "process.env_vars", "process.Ext", "process.parent.Ext", "process.thread",
	"process.group_leader", "process.previous", "process.io",
}

// wanted are the filters of the documents to read: process starts on Linux, of these programs. No programs are all.
// What the filters let through by mistake the rules pass over; what they keep back nobody sees.
func wanted(programs []string) []any {
	filters := []any{
		anyOf(object{"terms": object{"event.category": []string{"process", "audit-rule"}}}, lacks("event.category")),
		eitherOr("event.kind", "event"),
		eitherOr("host.os.type", "linux"),
		anyOf(object{"terms": object{"event.type": starts}}, lacks("event.type")),
		object{"bool": object{"must_not": term("event.module", "reconbeat")}}, // what reconbeat itself has shipped
	}
	if len(programs) == 0 {
		return filters
	}
	return append(filters, runs(programs))
}

// starts are the event.types of an exec: start, what other agents call it, and change, of auditbeat's
// process_changed_image.
var starts = []string{"start", "change", "process_started", "process_start", "creation"}

// runs is a filter of the processes in which one of the programs runs, as detector.Program finds it: by the name of the
// executable, by the name alone where that is all, as an applet of a multi-call binary, by the dynamic loader, or from
// memory.
func runs(programs []string) any {
	const loaders = `ld\.so.*|ld64\.so.*|ld-.*\.so.*`
	names := slices.Clone(programs)
	quoted := make([]string, len(programs))
	for i, p := range programs {
		const commLength = 15 // of the name that the kernel keeps; see detector.Match
		if len(p) > commLength {
			names = append(names, p[:commLength])
		}
		quoted[i] = lucene(p)
	}
	multi := process.MultiCalls()
	for i := range multi {
		multi[i] = lucene(multi[i])
	}
	several := strings.Join(multi, "|") + "|" + loaders
	executable := func(list string) any {
		path := `(.*/)?(` + process.MemoryFile + `)?(` + list + `)( \(deleted\))?`
		return object{"regexp": object{"process.executable": path}}
	}
	one := strings.Join(quoted, "|")
	return anyOf(
		object{"terms": object{"process.name": names}},
		executable(one),
		all(
			anyOf(executable(several), executable(process.MemoryFile+".*"),
				object{"regexp": object{"process.name": several}}),
			anyOf(object{"regexp": object{"process.args": `(.*/)?(` + one + `)`}}, lacks("process.args")),
		),
	)
}

// special are the characters that mean something in a regular expression of Lucene's.
var special = regexp.MustCompile(`[.?+*|{}\[\]()"\\#@&<>~^$-]`)

// lucene quotes a text for a regular expression of Lucene's.
func lucene(text string) string { return special.ReplaceAllString(text, `\$0`) }

// ofHost is a filter of a host's documents.
func ofHost(h process.Host) any {
	if h.ID != "" {
		return term("host.id", h.ID)
	}
	return anyOf(term("host.name", h.Name), term("host.hostname", h.Name),
		all(lacks("host.name"), lacks("host.hostname"), anyOf(term("agent.hostname", h.Name), term("agent.name", h.Name))))
}

// between is a filter of the documents with a time from begin until before end, in milliseconds since 1970.
func between(field string, begin, end int64) any {
	return object{"range": object{field: object{"gte": begin, "lt": end, "format": "epoch_millis"}}}
}

func term(field, value string) any { return object{"term": object{field: value}} }

func lacks(field string) any {
	return object{"bool": object{"must_not": object{"exists": object{"field": field}}}}
}

// eitherOr is a filter of the documents that have a value in a field, or nothing.
func eitherOr(field, value string) any { return anyOf(term(field, value), lacks(field)) }

func anyOf(filters ...any) any {
	return object{"bool": object{"should": filters, "minimum_should_match": 1}}
}

func all(filters ...any) any { return object{"bool": object{"filter": filters}} }

// sorted sorts by a time and then by the number that a shard gives each of its documents. Both have doc values in every
// index of Elasticsearch 8 and 9 and of OpenSearch, unless index.disable_sequence_numbers takes the number away, and
// reading them needs no right but `read`.
func sorted(field, direction string) []any {
	return []any{
		object{field: object{"order": direction, "unmapped_type": "date", "numeric_type": "date"}},
		object{"_seq_no": object{"order": direction}},
	}
}

// search is a request for documents.
func search(size int, sort []any, filters []any) object {
	return object{
		"size": size, "sort": sort, "query": all(filters...), "track_total_hits": false,
		"_source": object{"includes": sourceFields, "excludes": leftOut},
	}
}

// disorder is by how much the times of two execs may be the wrong way round; see process.Table.
const disorder = 10 * time.Millisecond
