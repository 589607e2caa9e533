// SPDX-License-Identifier: Apache-2.0

// Package esql reads as much of ES|QL as reconbeat's panels say in it: a table out of a data stream, a row for each
// group, of which conditions, an order and a limit take those that are shown.
//
//	FROM logs-reconbeat.health-*
//	| WHERE event.dataset == "reconbeat.health"
//	| STATS seen = MAX(@timestamp) BY host.name
//	| WHERE seen < NOW() - 5 minutes
//	| SORT seen ASC
//	| LIMIT 1000
//
// A panel is in ES|QL where terms would be wrong: each shard names its own first buckets, and a host that lives
// elsewhere seems dead there. A composite aggregation, which Search makes, visits every group, as ES|QL does. So what a
// panel shows can be seen on a node that has no ES|QL. Whether the text itself is right, a real parser says in a test.
package esql

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Query is a query that was understood.
type Query struct {
	Index   string
	Columns []string // of the table that comes out, in order

	filter []condition // of documents
	stats  []aggregate
	by     []string
	after  []step // what happens to the rows
	limit  int
}

type (
	// condition is left operator right; right is a number, a text, or a time before now.
	condition struct {
		left, operator string
		right          any
	}
	aggregate struct{ name, function, field string }
	step      struct {
		where *condition
		sort  *order
		count string // the name of the column that holds how many rows there are
	}
	order struct {
		column     string
		descending bool
	}
	// before is NOW() minus a span.
	before time.Duration
)

var (
	assignment = regexp.MustCompile(`^([a-z_]+) = (MAX|MIN|SUM|COUNT|COUNT_DISTINCT)\(([@a-z_.*]*)\)$`)
	comparison = regexp.MustCompile(`^([@a-z_.]+) (==|<|<=|>|>=) (.+)$`)
	past       = regexp.MustCompile(`^NOW\(\) - (\d+) (second|minute|hour|day)s?$`)
	sorting    = regexp.MustCompile(`^([@a-z_.]+) (ASC|DESC)$`)
)

// units are those of a span before NOW(), and functions those of STATS with the names that a search has for them.
var (
	units = map[string]time.Duration{
		"second": time.Second, "minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour,
	}
	functions = map[string]string{
		"MAX": "max", "MIN": "min", "SUM": "sum", "COUNT": "value_count", "COUNT_DISTINCT": "cardinality",
	}
)

// Parse reads a query. What it does not know is an error.
func Parse(text string) (Query, error) {
	var q Query
	commands := strings.Split(text, "|")
	for i, command := range commands {
		word, rest, _ := strings.Cut(strings.TrimSpace(command), " ")
		rest = strings.TrimSpace(rest)
		var err error
		switch {
		case (i == 0) != (word == "FROM"):
			err = fmt.Errorf("FROM comes first, and once")
		case word == "FROM":
			q.Index = rest
		case word == "WHERE":
			err = q.where(rest)
		case word == "STATS":
			err = q.aggregate(rest)
		case word == "SORT":
			err = q.sort(rest)
		case word == "LIMIT":
			q.limit, err = strconv.Atoi(rest)
		default:
			err = fmt.Errorf("unknown command %q (want FROM, WHERE, STATS, SORT or LIMIT)", word)
		}
		if err != nil {
			return q, fmt.Errorf("reading the ES|QL command %q: %w", strings.TrimSpace(command), err)
		}
	}
	if q.Index == "" || len(q.stats) == 0 {
		return q, fmt.Errorf("the ES|QL query %q has no FROM or no STATS", text)
	}
	return q, nil
}

// Fields are the fields of documents that the query names.
func (q Query) Fields() []string {
	fields := slices.Clone(q.by)
	for _, c := range q.filter {
		fields = append(fields, c.left)
	}
	for _, a := range q.stats {
		if a.field != "*" {
			fields = append(fields, a.field)
		}
	}
	return fields
}

func (q *Query) where(text string) error {
	for part := range strings.SplitSeq(text, " AND ") {
		m := comparison.FindStringSubmatch(part)
		if m == nil {
			return fmt.Errorf("%q is not a comparison", part)
		}
		c := condition{left: m[1], operator: m[2]}
		if p := past.FindStringSubmatch(m[3]); p != nil {
			n, _ := strconv.Atoi(p[1]) // digits
			c.right = before(time.Duration(n) * units[p[2]])
		} else if n, err := strconv.ParseFloat(m[3], 64); err == nil {
			c.right = n
		} else if s, err := strconv.Unquote(m[3]); err == nil {
			c.right = s
		} else {
			return fmt.Errorf("%q is not a value", m[3])
		}
		switch {
		case len(q.stats) == 0:
			q.filter = append(q.filter, c)
		case !slices.Contains(q.Columns, c.left):
			return fmt.Errorf("there is no column %s any more", c.left)
		default:
			q.after = append(q.after, step{where: &c})
		}
	}
	return nil
}

func (q *Query) aggregate(text string) error {
	text, by, grouped := strings.Cut(text, " BY ")
	again := len(q.stats) > 0
	var columns []string
	for part := range strings.SplitSeq(text, ", ") {
		m := assignment.FindStringSubmatch(part)
		switch {
		case m == nil:
			return fmt.Errorf("%q is not a column = FUNCTION(field)", part)
		case again && (grouped || m[2] != "COUNT" || m[3] != "*"):
			return fmt.Errorf("a second STATS counts the rows: %q", part)
		case again:
			q.after = append(q.after, step{count: m[1]})
		default:
			q.stats = append(q.stats, aggregate{m[1], m[2], m[3]})
		}
		columns = append(columns, m[1])
	}
	if !again && !grouped {
		return fmt.Errorf("no BY")
	}
	if grouped {
		q.by = strings.Split(by, ", ")
	}
	q.Columns = columns
	if !again {
		q.Columns = append(columns, q.by...)
	}
	return nil
}

func (q *Query) sort(text string) error {
	m := sorting.FindStringSubmatch(text)
	if m == nil || !slices.Contains(q.Columns, m[1]) {
		return fmt.Errorf("%q is not a column and ASC or DESC", text)
	}
	q.after = append(q.after, step{sort: &order{m[1], m[2] == "DESC"}})
	return nil
}

// groups is the name of the one aggregation of Search, and pageSize how many groups an answer of it has.
const (
	groups   = "groups"
	pageSize = 1000
)

// Search is the body of the search that returns the groups after a key, which is that of the answer before; nil: the
// first ones. filter are the queries that a dashboard adds.
func (q Query) Search(filter []any, after any) map[string]any {
	filter = slices.Clone(filter)
	for _, c := range q.filter {
		filter = append(filter, c.dsl())
	}
	var sources []any
	for _, field := range q.by {
		sources = append(sources, map[string]any{field: map[string]any{"terms": map[string]any{"field": field}}})
	}
	composite := map[string]any{"size": pageSize, "sources": sources}
	if after != nil {
		composite["after"] = after
	}
	values := map[string]any{}
	for _, a := range q.stats {
		field := a.field
		if field == "*" {
			field = "@timestamp"
		}
		values[a.name] = map[string]any{functions[a.function]: map[string]any{"field": field}}
	}
	return map[string]any{"size": 0, "query": map[string]any{"bool": map[string]any{"filter": filter}},
		"aggs": map[string]any{groups: map[string]any{"composite": composite, "aggs": values}}}
}

func (c condition) dsl() map[string]any {
	operator, ranged := map[string]string{"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}[c.operator]
	right := c.right
	if span, ok := right.(before); ok {
		right = fmt.Sprintf("now-%ds", int(time.Duration(span).Seconds()))
	}
	if ranged {
		return map[string]any{"range": map[string]any{c.left: map[string]any{operator: right}}}
	}
	return map[string]any{"term": map[string]any{c.left: right}}
}

// Row is a row of a table, by the names of its columns: a text, or a number, that of its milliseconds for a time.
type Row map[string]any

// Read takes the groups out of an answer to Search, and the key after which the next ones come; nil: these were the
// last.
func (q Query) Read(answer map[string]any) (rows []Row, after any) {
	aggregations, _ := answer["aggregations"].(map[string]any)
	found, _ := aggregations[groups].(map[string]any)
	buckets, _ := found["buckets"].([]any)
	for _, b := range buckets {
		bucket, _ := b.(map[string]any)
		row := Row{}
		if key, ok := bucket["key"].(map[string]any); ok {
			for field, v := range key {
				row[field] = v
			}
		}
		for _, a := range q.stats {
			if value, ok := bucket[a.name].(map[string]any); ok {
				row[a.name] = value["value"]
			}
		}
		rows = append(rows, row)
	}
	return rows, found["after_key"]
}

// Table makes of all groups the rows that the query shows.
func (q Query) Table(rows []Row, now time.Time) []Row {
	for _, s := range q.after {
		switch {
		case s.where != nil:
			rows = slices.DeleteFunc(rows, func(r Row) bool { return !s.where.holds(r, now) })
		case s.sort != nil:
			slices.SortStableFunc(rows, func(a, b Row) int {
				if s.sort.descending {
					a, b = b, a
				}
				return compare(a[s.sort.column], b[s.sort.column])
			})
		default:
			rows = []Row{{s.count: float64(len(rows))}}
		}
	}
	if q.limit > 0 && len(rows) > q.limit {
		rows = rows[:q.limit]
	}
	return rows
}

func (c condition) holds(r Row, now time.Time) bool {
	right := c.right
	if span, ok := right.(before); ok {
		right = float64(now.Add(-time.Duration(span)).UnixMilli())
	}
	if r[c.left] == nil {
		return false
	}
	n := compare(r[c.left], right)
	switch c.operator {
	case "<":
		return n < 0
	case "<=":
		return n <= 0
	case ">":
		return n > 0
	case ">=":
		return n >= 0
	}
	return n == 0
}

// compare orders numbers by their size and texts by the alphabet; what is missing comes last, as ES|QL has it.
func compare(a, b any) int {
	x, number := a.(float64)
	y, both := b.(float64)
	switch {
	case a == nil || b == nil:
		return cmp.Compare(map[bool]int{true: 1}[a == nil], map[bool]int{true: 1}[b == nil])
	case number && both:
		return cmp.Compare(x, y)
	}
	return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b))
}
