// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/spf13/cobra"

	"github.com/reconbeat/reconbeat/beater"
	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/control"
	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/internal/printable"
)

func newExceptionCommand(settings instance.Settings) *cobra.Command {
	c := &cobra.Command{
		Use:   "exception",
		Short: "Write exceptions, and exchange them with Kibana",
	}
	var file string
	var until time.Duration
	from := &cobra.Command{
		Use:   "from ALERT_ID",
		Short: "Print the narrowest exception that covers an alert, to review and save",
		Long: `from prints an exception that covers an alert, and as little beside it as can be: the same account, command,
programs and origin, and with --in the same host. Review it, take out what may differ the next time, say why in the
comment, and save it in exceptions.d. ALERT_ID is event.id or reconbeat.alert.id of an alert that this host keeps
(reconbeat alerts list), or its beginning; with --in it is one of a file of documents.
Put -- before one that begins with a dash.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return exceptionFrom(os.Stdout, settings, args[0], file, until)
		},
	}
	from.Flags().StringVar(&file, "in", "", "read the alert from this file of JSON documents, one a line; - is standard "+
		"input")
	from.Flags().DurationVar(&until, "for", 90*24*time.Hour, "how long the exception holds")
	var rules names
	in := &cobra.Command{
		Use:   "import FILE.ndjson",
		Short: "Print Kibana's exception lists as exceptions of reconbeat",
		Long: `import reads exception lists as Kibana exports them (Security, Shared exception lists, Export), and prints
them as a file of exceptions.d, to review and save. - is standard input. A list of Kibana's belongs to the rules that
it is attached to, which the file does not name: say them with --rule.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return importExceptions(os.Stdout, args[0], rules) },
	}
	in.Flags().Var(&rules, "rule", "the id of a rule that the exceptions are for; may be repeated. "+
		"None: all")
	list := control.KibanaList{}
	out := &cobra.Command{
		Use:   "export",
		Short: "Print the exceptions as an exception list that Kibana imports",
		Long: `export prints the exceptions of the configuration and of exceptions.d as an exception list in NDJSON, which
Kibana imports (Security, Shared exception lists, Import). An exception with "any" becomes an item for each of its
alternatives. What Kibana has no words for, such as regexp and range, is left out and named.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return exportExceptions(os.Stdout, settings, list) },
	}
	out.Flags().StringVar(&list.ID, "list-id", "reconbeat", "the list's id in Kibana")
	out.Flags().StringVar(&list.Name, "name", "reconbeat", "the list's name in Kibana")
	c.AddCommand(from, in, out)
	return c
}

func importExceptions(out io.Writer, file string, rules []string) error {
	known, err := fieldTypes()
	if err != nil {
		return err
	}
	text := io.Reader(os.Stdin)
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("importing exceptions: %w", err)
		}
		defer f.Close()
		text = f
	}
	all, notes, err := control.ReadKibana(text, known)
	for _, n := range notes {
		fmt.Fprintln(os.Stderr, "note: "+printable.Text(n))
	}
	if err != nil {
		return fmt.Errorf("importing %s: %w", file, err)
	}
	for i := range all {
		if len(all[i].Rules) == 0 {
			all[i].Rules = rules
		}
	}
	return config.WriteExceptions(out, all)
}

func exportExceptions(out io.Writer, settings instance.Settings, list control.KibanaList) error {
	b, err := configured(settings)
	if err != nil {
		return err
	}
	_, items, err := configuredControls(b, nil, time.Local)
	if err != nil {
		return err
	}
	if list.Known, err = fieldTypes(); err != nil {
		return err
	}
	list.Exceptions, list.Zone = items.Exceptions, items.Zone
	notes, err := list.Write(out)
	for _, n := range notes {
		fmt.Fprintln(os.Stderr, "note: "+printable.Text(n))
	}
	return err
}

func exceptionFrom(out io.Writer, settings instance.Settings, id, file string, until time.Duration) error {
	if until <= 0 {
		return fmt.Errorf("--for %v is not allowed; it must be a duration such as 720h", until)
	}
	var alert mapstr.M
	if file == "" {
		b, err := configured(settings)
		if err != nil {
			return err
		}
		docs, err := alertWith(b, id)
		if err != nil {
			return err
		}
		alert = docs[0].Fields
	} else {
		var err error
		if alert, err = alertIn(file, id); err != nil {
			return err
		}
	}
	about := circumstances
	if file == "" { // the alert is this host's, and so is the exception
		about = about[1:]
	}
	e, err := narrowest(alert, about, time.Now(), until)
	if err != nil {
		return fmt.Errorf("alert %q: %w", id, err)
	}
	return config.WriteExceptions(out, []control.Exception{e})
}

// alertIn is the alert with an id, or its beginning, in a file of documents.
func alertIn(file, id string) (mapstr.M, error) {
	in := os.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("reading alerts: %w", err)
		}
		defer f.Close()
		in = f
	}
	lines := bufio.NewReader(in)
	malformed := 0
	for {
		line, errRead := lines.ReadBytes('\n')
		var doc mapstr.M
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		if d.Decode(&doc) == nil {
			if hit, is := doc["_source"].(map[string]any); is { // as a search answers
				doc = hit
			}
			own, belongs := text(doc, "event.id"), text(doc, "reconbeat.alert.id")
			if id != "" && isAlert(text(doc, "event.action")) &&
				(strings.HasPrefix(own, id) || strings.HasPrefix(belongs, id)) {
				return doc, nil
			}
		} else if len(bytes.TrimSpace(line)) > 0 {
			malformed++
		}
		if errors.Is(errRead, io.EOF) && malformed > 0 {
			return nil, fmt.Errorf("alert %q: no alert of %s has this id; %s of it %s not JSON", id, file,
				plural.Of(malformed, "line"), map[bool]string{true: "is", false: "are"}[malformed == 1])
		}
		if errors.Is(errRead, io.EOF) {
			return nil, fmt.Errorf("alert %q: no alert of %s has this id", id, file)
		}
		if errRead != nil {
			return nil, fmt.Errorf("reading alerts: %w", errRead)
		}
	}
}

// circumstance is what an exception names of an alert.
type circumstance struct {
	fields []string // the first of them that the alert has
	absent bool     // where it has none, the first one is named as absent
}

// circumstances are what an exception names, in order, the host first.
var circumstances = []circumstance{
	{fields: []string{"host.name", "host.id"}},
	{fields: []string{"reconbeat.actor.container"}},
	{fields: []string{"user.audit.name", "user.audit.id"}, absent: true},
	{fields: []string{"user.name", "user.id"}},
	{fields: []string{"process.entry_leader.entry_meta.type"}},
	{fields: []string{"source.ip"}, absent: true},
	{fields: []string{"process.parent.executable", "process.parent.name"}},
	{fields: []string{"process.executable", "process.name"}},
	{fields: []string{"process.command_line", "process.args"}},
}

// errNoMatch says that an alert is about something else than a match.
var errNoMatch = errors.New("it is about the source of program starts and not about a match; no exception covers it")

// narrowest is the exception that covers an alert and little else.
func narrowest(alert mapstr.M, about []circumstance, now time.Time, until time.Duration) (control.Exception, error) {
	if beater.IsStory(alert) {
		return control.Exception{}, fmt.Errorf("it is a story of several alerts; make an exception from each: %s",
			strings.Join(texts(alert, "reconbeat.correlation.members"), ", "))
	}
	if !beater.OfMatch(alert) {
		return control.Exception{}, errNoMatch
	}
	e := control.NewException()
	e.ID = "alert-" + text(alert, "event.id")
	e.Name = text(alert, "message")
	e.Comment = "Say why. The alert: " + text(alert, "event.reason")
	e.Author = cmp.Or(os.Getenv("SUDO_USER"), os.Getenv("USER"))
	e.Created = control.Moment(now.Format(time.DateOnly))
	e.Expires = control.Moment(now.Add(until).UTC().Format(time.RFC3339))
	e.Rules = []string{text(alert, "rule.id")}
	for _, one := range about {
		named := false
		for _, field := range one.fields {
			if v, err := alert.GetValue(field); err == nil && v != nil {
				for _, value := range control.TextsOf(v) {
					e.Conditions = append(e.Conditions, control.Condition{Field: field, Is: control.Texts{value}})
					named = true
				}
			}
			if named {
				break
			}
		}
		if !named && one.absent {
			absent := false
			e.Conditions = append(e.Conditions, control.Condition{Field: one.fields[0], Exists: &absent})
		}
	}
	if err := covers(&e, alert); err != nil {
		return control.Exception{}, err
	}
	return e, nil
}

// covers returns an error unless an exception covers an alert.
func covers(e *control.Exception, alert mapstr.M) error {
	if err := e.Check(); err != nil {
		return err
	}
	set, err := control.New(control.Items{Exceptions: []control.Exception{*e}})
	if err != nil {
		return err
	}
	if d := set.Decide(e.Rules[0], time.Now(), document(alert)); !d.NoAlert {
		return errors.New("the exception made of it does not cover it: this is a fault of reconbeat")
	}
	return nil
}

// document is a document that a control is asked about.
type document mapstr.M

// Value is a field of it.
func (d document) Value(field string) any {
	v, err := mapstr.M(d).GetValue(field)
	if err != nil {
		return nil
	}
	return v
}

var _ control.Match = document{}
