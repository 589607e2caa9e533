// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/reconbeat/reconbeat/detector"
)

// Kibana exchanges exceptions as an exception list in NDJSON: a line for the list, a line for each item, and a summary.
// The format is described in Kibana's Exceptions API
// (https://www.elastic.co/docs/api/doc/kibana/group/endpoint-security-exceptions-api).

// kibanaLine is any line of it.
type kibanaLine struct {
	// Of a list and of an item.
	Description string `json:"description"`
	ListID      string `json:"list_id"`
	Name        string `json:"name"`
	Type        string `json:"type"`
	// Of an item.
	ItemID     string          `json:"item_id,omitempty"`
	Entries    []kibanaEntry   `json:"entries,omitempty"`
	Comments   []kibanaComment `json:"comments,omitempty"`
	CreatedAt  string          `json:"created_at,omitempty"`
	CreatedBy  string          `json:"created_by,omitempty"`
	ExpireTime string          `json:"expire_time,omitempty"`
	Namespace  string          `json:"namespace_type,omitempty"`
	OSTypes    []string        `json:"os_types"`
	Tags       []string        `json:"tags"`
	Version    int             `json:"version,omitempty"` // of a list
	Immutable  *bool           `json:"immutable,omitempty"`
}

// kibanaEntry is a condition. Value is a text, or texts of match_any.
type kibanaEntry struct {
	Field    string        `json:"field"`
	Operator string        `json:"operator,omitempty"` // included, excluded; of nested: none
	Type     string        `json:"type"`               // match, match_any, exists, wildcard, list, nested
	Value    any           `json:"value,omitempty"`
	List     *kibanaValues `json:"list,omitempty"`
	Entries  []kibanaEntry `json:"entries,omitempty"`
}

// kibanaValues names a value list.
type kibanaValues struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

type kibanaComment struct {
	Comment   string `json:"comment"`
	CreatedAt string `json:"created_at,omitempty"`
	CreatedBy string `json:"created_by,omitempty"`
}

// kibanaSummary is the last line.
type kibanaSummary struct {
	Lists        int   `json:"exported_exception_list_count"`
	Items        int   `json:"exported_exception_list_item_count"`
	MissingItems []any `json:"missing_exception_list_items"`
	NoItems      int   `json:"missing_exception_list_item_count"`
	MissingLists []any `json:"missing_exception_lists"`
	NoLists      int   `json:"missing_exception_lists_count"`
}

// ruleField is the field by which an item of Kibana's says which of our rules it is for.
const ruleField = "rule.id"

// ReadKibana reads Kibana's exception lists. known gives the type of a field in Elasticsearch, empty where there is
// none: of an address Kibana's "is" may name a network. Notes say what is left out and what a person has to do. The
// error names all lines that cannot be read.
func ReadKibana(r io.Reader, known func(field string) string) (all []Exception, notes []string, err error) {
	var errs []error
	lines := bufio.NewReader(r)
	ids := map[string]bool{}
	for n := 1; ; n++ {
		text, errRead := lines.ReadBytes('\n')
		if text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))); len(text) > 0 {
			e, more, err := readKibanaLine(text, known)
			for _, note := range more {
				notes = append(notes, fmt.Sprintf("line %d: %s", n, note))
			}
			switch {
			case err != nil:
				errs = append(errs, fmt.Errorf("line %d: %w", n, err))
			case e != nil && ids[e.ID]:
				errs = append(errs, fmt.Errorf("line %d: item_id: %q is used already", n, e.ID))
			case e != nil:
				ids[e.ID] = true
				all = append(all, *e)
			}
		}
		if errors.Is(errRead, io.EOF) {
			break
		}
		if errRead != nil {
			return nil, nil, fmt.Errorf("reading an exception list: %w", errRead)
		}
	}
	if len(all) == 0 && len(errs) == 0 && len(notes) == 0 {
		errs = append(errs, errors.New("it has no item of an exception list; export one from Kibana as NDJSON"))
	}
	return all, notes, errors.Join(errs...)
}

// readKibanaLine is the exception that a line is; nil where it is another line, or is left out.
func readKibanaLine(text []byte, known func(string) string) (e *Exception, notes []string, err error) {
	var l kibanaLine
	if err := json.Unmarshal(text, &l); err != nil {
		return nil, nil, fmt.Errorf("reading an item of an exception list: %w", err)
	}
	if l.ItemID == "" && l.Entries == nil {
		if l.ListID == "" && !bytes.Contains(text, []byte(`"exported_exception_list`)) {
			return nil, nil, errors.New("it is neither an exception list, nor an item of one, nor the summary")
		}
		return nil, nil, nil
	}
	if len(l.OSTypes) > 0 && !slices.Contains(l.OSTypes, "linux") {
		return nil, []string{fmt.Sprintf("item %q is for %s and left out", l.ItemID, strings.Join(l.OSTypes, " and "))}, nil
	}
	x := NewException()
	x.ID, x.Name, x.Author = l.ItemID, l.Name, l.CreatedBy
	x.Created, x.Expires = Moment(l.CreatedAt), Moment(l.ExpireTime)
	x.Comment = commentOf(l.Description, l.Comments)
	if len(l.Tags) > 0 {
		notes = append(notes, fmt.Sprintf("item %q: its tags are left out: %s", l.ItemID, strings.Join(l.Tags, ", ")))
	}
	var wrong mistakes
	for i := range l.Entries {
		x.takeEntry(&l.Entries[i], fmt.Sprintf("entries.%d", i), "", known, &wrong)
	}
	for i := range x.Conditions {
		if list := x.Conditions[i].InList; list != "" {
			notes = append(notes, fmt.Sprintf("item %q: put the values of the list %q into a file of this name beside it",
				l.ItemID, list))
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, notes, fmt.Errorf("item %q: %w", l.ItemID, err)
	}
	if err := x.Check(); err != nil {
		return nil, notes, fmt.Errorf("item %q: %w", l.ItemID, err)
	}
	for _, m := range []Moment{x.Created, x.Expires} {
		if _, err := m.end(time.UTC); err != nil {
			return nil, notes, fmt.Errorf("item %q: %w", l.ItemID, err)
		}
	}
	return &x, notes, nil
}

// takeEntry adds what an entry says. within is the field that it is nested in.
func (e *Exception) takeEntry(
	entry *kibanaEntry, path, within string, known func(string) string, wrong *mistakes,
) {
	c := Condition{Field: within + entry.Field}
	switch entry.Operator {
	case "included", "":
	case "excluded":
		c.Not = true
	default:
		wrong.add(path+".operator", "%q is not allowed; it must be included or excluded", entry.Operator)
	}
	values, ok := []string(nil), true
	switch v := entry.Value.(type) {
	case nil:
	case string:
		values = []string{v}
	case []any:
		for _, one := range v {
			text, is := one.(string)
			values, ok = append(values, text), ok && is
		}
	default:
		ok = false
	}
	if !ok {
		wrong.add(path+".value", "is not allowed; it must be a text or a list of texts")
		return
	}
	switch entry.Type {
	case "match", "match_any":
		if len(values) == 0 || entry.Type == "match" && len(values) > 1 {
			wrong.add(path+".value", "is missing, or are several; %s has one, match_any may have more", entry.Type)
			return
		}
		switch networks := known(c.Field) == "ip" && slices.ContainsFunc(values, notAsWritten); {
		case c.Field == ruleField && !c.Not && len(e.Rules) == 0:
			e.Rules = values
			return
		case networks:
			c.CIDR = values
		case entry.Type == "match":
			c.Is = values
		default:
			c.IsOneOf = values
		}
	case "wildcard":
		if len(values) != 1 {
			wrong.add(path+".value", "is missing; it must be a pattern")
			return
		}
		pattern, exact, possible := fromWildcard(values[0])
		switch {
		case !possible:
			wrong.add(path+".value", "%q has an escaped * or ? beside others, and no pattern here can say that", values[0])
			return
		case exact:
			c.Is = Texts{pattern}
		default:
			c.Matches = Texts{pattern}
		}
	case "exists":
		yes := true
		c.Exists = &yes
		if c.Not {
			yes, c.Not = false, false
		}
	case "list":
		if entry.List == nil || !listID.MatchString(entry.List.ID) {
			wrong.add(path+".list.id", "is missing, or has characters that no file's name should have")
			return
		}
		c.InList = entry.List.ID
	case "nested":
		for i := range entry.Entries {
			e.takeEntry(&entry.Entries[i], fmt.Sprintf("%s.entries.%d", path, i), c.Field+".", known, wrong)
		}
		return
	default:
		wrong.add(path+".type", "%q is not allowed; it must be match, match_any, wildcard, exists, list or nested",
			entry.Type)
		return
	}
	e.Conditions = append(e.Conditions, c)
}

// listID is what the id of a value list may be for us, who keep it in a file of that name.
var listID = regexp.MustCompile(`^[\pL\pN][\pL\pN ._-]{0,127}$`)

// notAsWritten reports whether a text stands for addresses that our documents write otherwise.
func notAsWritten(text string) bool {
	address, ok := canonical(text)
	return isNetwork(text) || ok && address != text
}

func isNetwork(text string) bool {
	_, err := netip.ParsePrefix(text)
	return err == nil
}

// A comment of Kibana's is a line "[time, author] text" below the description, and its further lines are indented.
var kibanaCommentLine = regexp.MustCompile(`^\[([^],]*), ([^]]*)\] (.*)$`)

const indent = "  "

func commentOf(description string, comments []kibanaComment) string {
	lines := []string{description}
	for _, c := range comments {
		text := strings.ReplaceAll(c.Comment, "\n", "\n"+indent)
		lines = append(lines, fmt.Sprintf("[%s, %s] %s", c.CreatedAt, c.CreatedBy, text))
	}
	return strings.Join(lines, "\n")
}

// splitComment undoes commentOf.
func splitComment(comment string) (description string, comments []kibanaComment) {
	lines := strings.Split(comment, "\n")
	from := len(lines) // where the last comment begins that is read
	for i := len(lines) - 1; i > 0; i-- {
		m := kibanaCommentLine.FindStringSubmatch(lines[i])
		if m == nil {
			if !strings.HasPrefix(lines[i], indent) {
				break
			}
			continue
		}
		text := []string{m[3]}
		for _, further := range lines[i+1 : from] {
			text = append(text, strings.TrimPrefix(further, indent))
		}
		comments = append(comments, kibanaComment{CreatedAt: m[1], CreatedBy: m[2], Comment: strings.Join(text, "\n")})
		from = i
	}
	slices.Reverse(comments)
	return strings.Join(lines[:from], "\n"), comments
}

// KibanaList is an exception list as Kibana imports it.
type KibanaList struct {
	ID, Name   string
	Exceptions []Exception
	Zone       *time.Location            // of days that are written without one
	Known      func(field string) string // the type of a field in Elasticsearch, empty where there is none
}

// Write writes the list as NDJSON. Notes name what Kibana has no words for: such an exception is left out.
func (k KibanaList) Write(w io.Writer) (notes []string, err error) {
	immutable := false
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	err = out.Encode(kibanaLine{
		ListID: k.ID, Name: k.Name, Description: "Exceptions of reconbeat", Type: "detection", Namespace: "single",
		OSTypes: []string{}, Tags: []string{}, Version: 1, Immutable: &immutable,
	})
	items := 0
	ids := map[string]bool{}
	for i := range k.Exceptions {
		ids[k.Exceptions[i].ID] = true
	}
	for i := range k.Exceptions {
		e := &k.Exceptions[i]
		lines, reason := k.items(e, ids)
		if reason != "" {
			notes = append(notes, fmt.Sprintf("exception %q: %s", e.ID, reason))
		}
		for _, line := range lines {
			err = errors.Join(err, out.Encode(line))
			items++
		}
	}
	err = errors.Join(err, out.Encode(kibanaSummary{
		Lists: 1, Items: items, MissingItems: []any{}, MissingLists: []any{},
	}))
	if err != nil {
		return notes, fmt.Errorf("writing an exception list: %w", err)
	}
	return notes, nil
}

// items are the items that an exception is in Kibana, one for each of its alternatives, because entries are all
// required. ids are those in use. reason says why there is none, or what of it is left out.
func (k KibanaList) items(e *Exception, ids map[string]bool) (lines []kibanaLine, reason string) {
	switch e.Action {
	case detector.SkipModelUpdate:
		return nil, "it is left out: it raises alerts, and Kibana's exceptions hold them back"
	case detector.SkipBoth:
		reason = "in Kibana it holds alerts back; that nothing is learned is said here alone"
	}
	ways, err := alternatives(&Condition{All: e.Conditions}, false, k.literal)
	if err != nil {
		return nil, "it is left out: " + err.Error()
	}
	until, err := e.Expires.end(k.Zone)
	if err != nil {
		return nil, "it is left out: " + err.Error()
	}
	description, comments := splitComment(e.Comment)
	for i, entries := range ways {
		line := kibanaLine{
			ItemID: e.ID, ListID: k.ID, Name: e.Name, Description: description, Comments: comments, Type: "simple",
			CreatedAt: string(e.Created), CreatedBy: e.Author, Namespace: "single", OSTypes: []string{}, Tags: []string{},
		}
		if line.Name == "" {
			line.Name = e.ID
		}
		if line.Description == "" {
			line.Description = line.Name // Kibana wants one
		}
		for n := i + 1; i > 0 && ids[line.ItemID]; n++ {
			line.ItemID = fmt.Sprintf("%s:%d", e.ID, n)
		}
		ids[line.ItemID] = true
		if !until.IsZero() {
			line.ExpireTime = until.UTC().Format("2006-01-02T15:04:05.000Z")
		}
		switch len(e.Rules) {
		case 0:
		case 1:
			entries = append(entries, kibanaEntry{Field: ruleField, Operator: "included", Type: "match", Value: e.Rules[0]})
		default:
			entries = append(entries, kibanaEntry{
				Field: ruleField, Operator: "included", Type: "match_any", Value: e.Rules,
			})
		}
		line.Entries = entries
		lines = append(lines, line)
	}
	return lines, reason
}

// fromWildcard reads a pattern of Kibana's, in which a backslash takes the meaning from what follows it, as Lucene's
// WildcardQuery has it (https://lucene.apache.org/core/9_0_0/core/org/apache/lucene/search/WildcardQuery.html).
// exact: the text is meant. possible is false where a pattern of ours cannot say the same.
func fromWildcard(text string) (pattern string, exact, possible bool) {
	if !strings.Contains(text, `\`) {
		return text, false, true
	}
	var b strings.Builder
	wild, escaped := false, false
	for i := 0; i < len(text); i++ {
		special := func() bool { return text[i] == '*' || text[i] == '?' }
		switch {
		case text[i] == '\\' && i+1 < len(text):
			i++
			escaped = escaped || special()
		case special():
			wild = true
		}
		b.WriteByte(text[i])
	}
	return b.String(), !wild, !wild || !escaped
}

// literal are the alternatives of a test of one field.
func (k KibanaList) literal(c *Condition, not bool) ([][]kibanaEntry, error) {
	operator := map[bool]string{false: "included", true: "excluded"}[not]
	one := func(kind string, value any) [][]kibanaEntry {
		return [][]kibanaEntry{{{Field: c.Field, Operator: operator, Type: kind, Value: value}}}
	}
	anyOf := func(values Texts) [][]kibanaEntry {
		if len(values) == 1 {
			return one("match", values[0])
		}
		return one("match_any", values)
	}
	switch {
	case c.Exists != nil:
		if !*c.Exists {
			operator = map[bool]string{true: "included", false: "excluded"}[not]
		}
		return one("exists", nil), nil
	case len(c.Is) > 0:
		return anyOf(c.Is), nil
	case len(c.IsOneOf) > 0:
		return one("match_any", c.IsOneOf), nil
	case len(c.CIDR) > 0:
		return anyOf(c.CIDR), nil
	case len(c.Matches) > 0:
		var all [][]kibanaEntry
		for _, p := range c.Matches {
			entry := one("wildcard", strings.ReplaceAll(p, `\`, `\\`))
			if not && len(all) > 0 { // none of them may match
				all[0] = append(all[0], entry[0]...)
				continue
			}
			all = append(all, entry...)
		}
		return all, nil
	case c.InList != "":
		if !listID.MatchString(c.InList) {
			return nil, fmt.Errorf("the list %q is a path, and no id of a value list", c.InList)
		}
		entry := one("list", nil)
		entry[0][0].List = &kibanaValues{ID: c.InList, Type: "keyword"}
		if k.Known(c.Field) == "ip" {
			entry[0][0].List.Type = "ip"
		}
		return entry, nil
	}
	return nil, fmt.Errorf("no test of Kibana's exceptions is like that of %s", c.Field)
}
