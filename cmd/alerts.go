// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/beater"
	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/internal/printable"
)

func newAlertsCommand(settings instance.Settings) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "alerts",
		Short: "List and read this host's alerts",
		Long: `alerts reads what reconbeat keeps of its latest alerts on this host, whether the output has them or not: at
all some 10 MB, about a thousand. It takes nothing away from the output, and runs beside the service.`,
	}
	c.PersistentFlags().StringVar(&format, "format", "text", "text for people, or json: the documents, one a line")
	var since time.Duration
	var follow bool
	listing := &cobra.Command{
		Use:   "list",
		Short: "List the alerts, the latest last",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return listAlerts(c, settings, alertList{format: format, since: since, follow: follow})
		},
	}
	listing.Flags().DurationVar(&since, "since", 0, "only those of so long ago at most, such as 24h; 0: all")
	listing.Flags().BoolVarP(&follow, "follow", "f", false, "go on with those to come, until interrupted")
	show := &cobra.Command{
		Use:   "show ALERT_ID",
		Short: "Show all that is known of an alert, on one page",
		Long: `show prints an alert, and what came after it, as one page: why it was raised, who it was and from where, what
made it unusual, what is usual, and what the visit did. ALERT_ID is event.id or reconbeat.alert.id of the alert, or its
beginning. Put -- before one that begins with a dash.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return showAlert(os.Stdout, settings, args[0], format) },
	}
	c.AddCommand(listing, show)
	return c
}

// followEvery is how often a list that is followed looks for what is new.
const followEvery = 250 * time.Millisecond

// alertList is how alerts are listed.
type alertList struct {
	format string
	since  time.Duration
	follow bool
}

func listAlerts(c *cobra.Command, settings instance.Settings, how alertList) error {
	if err := checkAlertFormat(how.format); err != nil {
		return err
	}
	if how.since < 0 {
		return fmt.Errorf("--since %v is not allowed; it must be a duration such as 24h, or 0", how.since)
	}
	b, err := configured(settings)
	if err != nil {
		return err
	}
	r := beater.NewAlertReader(b.Paths)
	rows := &alertRows{out: os.Stdout, format: how.format, seen: map[string]bool{}}
	if how.since > 0 {
		rows.from = time.Now().Add(-how.since)
	}
	if err := rows.next(r); err != nil {
		return err
	}
	if !how.follow {
		rows.end(r.Malformed)
		return nil
	}
	ctx, stop := signal.NotifyContext(c.Context(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := rows.next(r); err != nil {
				return err
			}
		}
	}
}

func checkAlertFormat(format string) error {
	if format != "text" && format != "json" {
		return fmt.Errorf("--format %q is not allowed; it must be text or json", format)
	}
	return nil
}

// alertRows prints alerts as a list.
type alertRows struct {
	out    io.Writer
	format string
	from   time.Time // zero: from the first on
	seen   map[string]bool
}

// next prints what came since the last call. Columns are as wide as what it prints needs.
func (l *alertRows) next(r *beater.AlertReader) error {
	w := tabwriter.NewWriter(l.out, 2, 0, 2, ' ', 0)
	err := r.Next(func(doc *beat.Event) error {
		id := text(doc.Fields, "event.id")
		action := text(doc.Fields, "event.action")
		if !isAlert(action) && !isStory(action) || doc.Timestamp.Before(l.from) || l.seen[id] {
			return nil
		}
		first := len(l.seen) == 0
		l.seen[id] = true
		if l.format == "json" {
			line, err := documentLine(doc)
			if err == nil {
				_, err = l.out.Write(line)
			}
			return err
		}
		if first {
			fmt.Fprintln(w, "TIME\tSCORE\tUSER\tCOMMAND\tRULE\tALERT")
		}
		about := cmp.Or(text(doc.Fields, "rule.id"), text(doc.Fields, "event.action"))
		_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", stamp(doc), cmp.Or(score(doc), "-"),
			cmp.Or(cut(who(doc), 32), "-"), cmp.Or(cut(command(doc), 48), "-"), about, id)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, w.Flush())
}

// end says how many there were, where that is no row.
func (l *alertRows) end(malformed int) {
	if malformed > 0 {
		fmt.Fprintf(os.Stderr, "%s could not be read and %s left out.\n", plural.Of(malformed, "line"),
			map[bool]string{true: "is", false: "are"}[malformed == 1])
	}
	if l.format == "json" || len(l.seen) > 0 {
		return
	}
	if l.from.IsZero() {
		fmt.Fprintln(l.out, "There is no alert yet.")
		return
	}
	fmt.Fprintf(l.out, "There is no alert since %s.\n", l.from.UTC().Format("2006-01-02 15:04:05"))
}

// errNoAlert says that an alert is not kept.
var errNoAlert = errors.New("no alert of this host that is kept has this id; `reconbeat alerts list` shows which do")

// alertWith reads an alert, and what came after it and belongs to it, in this order. id may be the beginning of its id.
func alertWith(b *instance.Beat, id string) ([]*beat.Event, error) {
	var found []*beat.Event
	var wholes []string // ids that begin with id
	err := beater.NewAlertReader(b.Paths).Next(func(doc *beat.Event) error {
		own, belongs := text(doc.Fields, "event.id"), text(doc.Fields, "reconbeat.alert.id")
		story, action := text(doc.Fields, "reconbeat.correlation.id"), text(doc.Fields, "event.action")
		whole := belongs
		switch {
		case strings.HasPrefix(own, id):
			whole = own
		case strings.HasPrefix(belongs, id):
		case strings.HasPrefix(story, id):
			found = append(found, doc) // a part of it
			return nil
		default:
			return nil
		}
		if (isAlert(action) || isStory(action)) && !slices.Contains(wholes, whole) {
			wholes = append(wholes, whole)
		}
		found = append(found, doc)
		return nil
	})
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case len(wholes) == 0 || id == "":
		return nil, fmt.Errorf("alert %q: %w", id, errNoAlert)
	case len(wholes) > 1:
		return nil, fmt.Errorf("alert %q: several ids begin so: %s", id, strings.Join(wholes, ", "))
	}
	return slices.CompactFunc(found, func(a, b *beat.Event) bool {
		return text(a.Fields, "event.id") == text(b.Fields, "event.id")
	}), nil
}

func showAlert(out io.Writer, settings instance.Settings, id, format string) error {
	if err := checkAlertFormat(format); err != nil {
		return err
	}
	b, err := configured(settings)
	if err != nil {
		return err
	}
	docs, err := alertWith(b, id)
	if err != nil {
		return err
	}
	for i, doc := range docs {
		if format == "json" {
			line, err := documentLine(doc)
			if err != nil {
				return err
			}
			if _, err := out.Write(line); err != nil {
				return fmt.Errorf("printing an alert: %w", err)
			}
			continue
		}
		if i > 0 {
			fmt.Fprintln(out)
		}
		whole := strings.HasPrefix(text(doc.Fields, "event.id"), id)
		switch action := text(doc.Fields, "event.action"); {
		case whole && (isAlert(action) || isStory(action)):
			printAlert(out, doc)
		case isAlert(action) && text(doc.Fields, "reconbeat.alert.id") != "" && !whole:
			printRelated(out, "Part", doc)
		default:
			printRelated(out, "Then", doc)
		}
	}
	return nil
}

// pageIndent is where the texts of a page begin.
const pageIndent = 14

// printAlert prints an alert as a page.
func printAlert(out io.Writer, doc *beat.Event) {
	f := doc.Fields
	fmt.Fprintf(out, "%s\n\n", text(f, "message"))
	line := func(label string, parts ...string) {
		parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
		if len(parts) > 0 {
			fmt.Fprintf(out, "%-*s%s\n", pageIndent, label, wrapped(out, strings.Join(parts, ", "), pageIndent))
		}
	}
	with := func(before, field string) string {
		if v := text(f, field); v != "" {
			return before + v
		}
		return ""
	}
	line("Alert", text(f, "event.id"), with("raised again, after ", "reconbeat.alert.earlier_id"),
		with("somebody else new alerted before, with ", "reconbeat.alert.after_id"))
	line("Time", doc.Timestamp.UTC().Format(time.RFC3339), with("on the host ", "reconbeat.local.weekday"),
		with("hour ", "reconbeat.local.hour"))
	line("Host", text(f, "host.name"), with("id ", "host.id"))
	line("Score", score(doc), with("the threshold is ", "reconbeat.anomaly.threshold"),
		with("severity ", "event.severity"))
	if yearly, ok := number(f, "reconbeat.anomaly.yearly"); ok {
		line("", fmt.Sprintf("%.2g benign visits a year are as unusual", yearly))
	}
	for i, part := range slices.Collect(strings.SplitSeq(text(f, "event.reason"), "; ")) {
		line(map[bool]string{true: "Why"}[i == 0], part)
	}
	line("Actor", text(f, "reconbeat.actor.name"), with("id ", "reconbeat.actor.id"), text(f, "reconbeat.actor.kind"),
		with("container ", "reconbeat.actor.container"))
	line("Acts as", name(f, "user"), with("group ", "group.name"))
	printAccount(f, line)
	line("Came from", from(doc))
	line("Command", command(doc))
	line("Program", text(f, "process.executable"), with("pid ", "process.pid"),
		with("in ", "process.working_directory"))
	line("Origin", origin(f, "process", "reconbeat.executable")...)
	line("Parent", cmp.Or(text(f, "process.parent.executable"), text(f, "process.parent.name")),
		with("pid ", "process.parent.pid"), with("", "process.parent.command_line"))
	line("", origin(f, "process.parent", "reconbeat.executable.parent")...)
	for i, p := range ancestry(f) {
		if i == 0 {
			continue // the parent
		}
		line("Started by", cmp.Or(text(p, "executable"), text(p, "name")), "pid "+text(p, "pid"), text(p, "command_line"),
			name(p, "user"))
	}
	printActivity(out, f, "Before", "reconbeat.activity.before")
	line("Terminal", text(f, "reconbeat.process.tty"))
	line("Visit", with("since ", "reconbeat.visit.start"), with("matches: ", "reconbeat.visit.matches"))
	for _, c := range texts(f, "reconbeat.visit.commands") {
		line("", c)
	}
	line("Known", with("since ", "reconbeat.actor.first_seen"), with("days with matches: ", "reconbeat.actor.active_days"))
	for _, what := range []string{"commands", "parents", "networks", "hours"} {
		if v := texts(f, "reconbeat.actor.usual."+what); len(v) > 0 {
			line("Usual", what+": "+strings.Join(v, ", "))
		}
	}
	if v := texts(f, "reconbeat.anomaly.typical_users"); len(v) > 0 {
		line("Usually by", strings.Join(v, ", "))
	}
	printParts(out, f)
	line("Technique", strings.Join(texts(f, "threat.technique.id"), " "),
		strings.Join(texts(f, "threat.technique.name"), ", "))
	line("Rule", text(f, "rule.id"), text(f, "rule.name"))
	line("Story", with("", "reconbeat.correlation.id"), with("alerts: ", "reconbeat.correlation.alerts"),
		strings.Join(texts(f, "reconbeat.correlation.rules"), " "))
	printNote(out, f)
}

// printAccount says what the actor's account may do, and what was changed about it.
func printAccount(f mapstr.M, line func(label string, parts ...string)) {
	const field = "reconbeat.account."
	with := func(before, name string) string {
		if v := text(f, field+name); v != "" {
			day, midnight, _ := strings.Cut(v, "T")
			if midnight == "00:00:00Z" || midnight == "00:00:00.000Z" {
				v = day
			}
			return before + v
		}
		return ""
	}
	groups := strings.Join(texts(f, field+"groups"), " ")
	if groups != "" {
		groups = "groups " + groups
	}
	expired := ""
	if text(f, field+"expired") == "true" {
		expired = "EXPIRED"
	}
	line("Account", with("", "class"), with("shell ", "shell"), groups, with("password ", "password.state"),
		with("set on ", "password.changed"), expired, with("ends on ", "expires"), with("not all read: ", "unread"))
	for i, rule := range texts(f, field+"sudo.rules") {
		line(map[bool]string{true: "May by sudo"}[i == 0], rule)
	}
	line("Keys", with("changed ", "authorized_keys.changed"), with("number ", "authorized_keys.count"),
		with("not read: ", "authorized_keys.unread"))
	for i, m := range objects(f, field+"changes") {
		by := cmp.Or(text(m, "user.name"), "uid "+text(m, "user.id"))
		parts := []string{text(m, "time"), strings.TrimSpace(text(m, "action") + " " + text(m, "group.name"))}
		for _, more := range [][2]string{{"by ", by}, {"with ", text(m, "process.name")}, {"from ", text(m, "source.ip")}} {
			if more[1] != "" {
				parts = append(parts, more[0]+more[1])
			}
		}
		line(map[bool]string{true: "Changed"}[i == 0], parts...)
	}
	others := strings.Join(texts(f, field+"logins_from_source.other_users"), " ")
	if others != "" {
		others = "others from there " + others
	}
	line("Address", with("logins from it before ", "logins_from_source.count"),
		with("the first ", "logins_from_source.first"), with("the last ", "logins_from_source.last"), others,
		with("the history begins ", "logins_from_source.since"))
	line("Refused", with("logins ", "refused_logins.count"), with("the last ", "refused_logins.last"),
		with("from ", "refused_logins.source.ip"), with("from this address in all ", "refused_logins.from_source"))
}

// origin is where an executable comes from, in words.
func origin(f mapstr.M, owner, field string) (parts []string) {
	pkg := strings.TrimSpace("package " + text(f, field+".package.name") + " " + text(f, field+".package.version"))
	switch state := text(f, field+".state"); state {
	case "":
	case "unmodified", "modified":
		parts = append(parts, pkg, map[string]string{"modified": "MODIFIED", "unmodified": "as installed"}[state])
	case "unverified":
		parts = append(parts, pkg, "which has no checksum of it")
	case "unowned":
		parts = append(parts, "of no package")
	}
	for _, more := range [][2]string{
		{"script ", field + ".script"}, {"SHA-256 ", owner + ".hash.sha256"}, {"not read: ", field + ".unread"},
	} {
		if v := text(f, more[1]); v != "" {
			parts = append(parts, more[0]+v)
		}
	}
	return parts
}

// printNote prints the guide as it is: a command that was broken into lines could not be copied. What stands above the
// rule's part, the page has already.
func printNote(out io.Writer, f mapstr.M) {
	v, _ := f.GetValue("rule.note") // an alert of an older version has none
	note, _ := v.(string)
	if _, steps, found := strings.Cut(note, "\n## About the rule\n"); found {
		note = "## About the rule\n" + steps
	}
	if note != "" {
		fmt.Fprintln(out)
	}
	for l := range strings.Lines(note) {
		fmt.Fprintln(out, printable.Text(strings.TrimSuffix(l, "\n")))
	}
}

// printActivity prints what else ran in an alert's session: the programs of a field.
func printActivity(out io.Writer, f mapstr.M, label, field string) {
	for i, p := range objects(f, field) {
		what := cmp.Or(text(p, "command_line"), text(p, "name"))
		for _, more := range [][2]string{{"by ", "parent.name"}, {"exit code ", "exit_code"}} {
			if v := text(p, more[1]); v != "" {
				what += ", " + more[0] + v
			}
		}
		if ids := texts(p, "technique.id"); len(ids) > 0 {
			what += ", " + strings.Join(ids, " ")
		}
		at, _ := p.GetValue("time")
		if t, ok := at.(time.Time); ok {
			at = t.UTC().Format(time.TimeOnly)
		}
		what = printable.Text(fmt.Sprint(at)) + "  " + what
		fmt.Fprintf(out, "%-*s%s\n", pageIndent, map[bool]string{true: label}[i == 0], wrapped(out, what, pageIndent))
	}
}

// ancestry are the processes through which an alert's tool was started, the parent first.
func ancestry(f mapstr.M) []mapstr.M { return objects(f, "reconbeat.ancestry") }

// objects are those of a field that holds a list of them.
func objects(f mapstr.M, field string) (line []mapstr.M) {
	v, _ := f.GetValue(field) // there may be none
	switch v := v.(type) {
	case []mapstr.M:
		line = v
	case []any: // it went through the journal
		for _, one := range v {
			switch one := one.(type) {
			case mapstr.M:
				line = append(line, one)
			case map[string]any:
				line = append(line, one)
			}
		}
	}
	return line
}

// printParts prints what made an alert unusual, and what spoke against it.
func printParts(out io.Writer, f mapstr.M) {
	if lines := texts(f, "reconbeat.anomaly.explained"); len(lines) > 0 {
		for i, l := range lines {
			fmt.Fprintf(out, "%-*s%s\n", pageIndent, map[bool]string{true: "Parts (nats)"}[i == 0],
				wrapped(out, l, pageIndent+6))
		}
		return
	}
	v, err := f.GetValue("reconbeat.anomaly.parts")
	parts, ok := v.(mapstr.M)
	if err != nil || !ok {
		return
	}
	value := func(name string) float64 { v, _ := number(parts, name); return v }
	var names []string
	for name := range parts {
		if v := value(name); v >= 0.05 || v <= -0.05 {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(value(b), value(a)), cmp.Compare(a, b)) })
	for i, name := range names {
		label := map[bool]string{true: "Parts (nats)"}[i == 0]
		fmt.Fprintf(out, "%-*s%+6.2f  %s\n", pageIndent, label, value(name), name)
	}
}

// number is the number in a field; ok is false where there is something else.
func number(m mapstr.M, field string) (n float64, ok bool) {
	switch v, _ := m.GetValue(field); v := v.(type) {
	case float64:
		return v, true
	case int64: // a whole number that went through the journal
		return float64(v), true
	}
	return 0, false
}

// printRelated prints in short what came after an alert, or is a part of it.
func printRelated(out io.Writer, label string, doc *beat.Event) {
	fmt.Fprintf(out, "%-*s%s\n", pageIndent, label, doc.Timestamp.UTC().Format(time.RFC3339))
	for _, field := range []string{"message", "event.reason"} {
		if v := text(doc.Fields, field); v != "" {
			fmt.Fprintf(out, "%*s%s\n", pageIndent, "", wrapped(out, v, pageIndent))
		}
	}
	printActivity(out, doc.Fields, "After", "reconbeat.activity.after")
}

// texts are the values of a field, printable, of which there may be one or several.
func texts(m mapstr.M, field string) (all []string) {
	v, err := m.GetValue(field)
	if err != nil || v == nil {
		return nil
	}
	switch v := v.(type) {
	case []string:
		for _, one := range v {
			all = append(all, printable.Text(one))
		}
	case []any:
		for _, one := range v {
			all = append(all, printable.Text(fmt.Sprint(one)))
		}
	default:
		all = append(all, printable.Text(fmt.Sprint(v)))
	}
	return all
}
