// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/spf13/cobra"

	"github.com/reconbeat/reconbeat/beater"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/printable"
)

func newFeedbackCommand(settings instance.Settings) *cobra.Command {
	var note, by string
	signed := func(c *cobra.Command) *cobra.Command {
		c.Flags().StringVar(&note, "note", "", "why; it ships with the event")
		c.Flags().StringVar(&by, "by", "", "who says it; the user who types it by default")
		return c
	}
	c := signed(&cobra.Command{
		Use:   "feedback ALERT_ID benign|malicious|unsure",
		Short: "Say what an alert was, for the model to learn from",
		Long: `feedback says what an alert was. The running reconbeat takes it up within a second, a stopped one at its next
start. An event beside the alerts reports it, with the alert's id.

benign     the actor's context is a habit at once: the same raises no alert, and its probation ends
malicious  nothing of the episode stays in the model, and the next match of the actor in this context alerts again,
           a band higher; it never becomes a habit
unsure     is only kept

ALERT_ID is event.id or reconbeat.alert.id of an alert that this host keeps (reconbeat alerts list), or its beginning.
Put -- before one that begins with a dash. Feedback on the same alert takes the place of the one before.`,
		Args: feedbackArgs,
		RunE: func(_ *cobra.Command, args []string) error { return giveFeedback(settings, args[0], args[1], note, by) },
	})
	undo := signed(&cobra.Command{
		Use:   "undo ALERT_ID",
		Short: "Take feedback on an alert back, with what it has changed",
		Args:  cobra.ExactArgs(1),
		RunE:  func(_ *cobra.Command, args []string) error { return undoFeedback(settings, args[0], note, by) },
	})
	var format string
	list := &cobra.Command{
		Use:   "list",
		Short: "List the feedback that holds, the latest last",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return listFeedback(os.Stdout, settings, format) },
	}
	list.Flags().StringVar(&format, "format", "text", "text for people, or json, one a line")
	c.AddCommand(undo, list)
	return c
}

// isVerdict says whether a word is one of the verdicts that a person may give.
func isVerdict(word string) bool {
	return slices.Contains([]string{detector.Benign, detector.Malicious, detector.Unsure}, word)
}

// feedbackArgs checks that an alert's id comes first, and then what it was.
func feedbackArgs(c *cobra.Command, args []string) error {
	switch {
	case len(args) > 0 && isVerdict(args[0]):
		return fmt.Errorf("the alert's id comes first, and then %s", args[0])
	case len(args) == 1:
		return errors.New("the verdict is missing; it must be benign, malicious or unsure")
	}
	if err := cobra.ExactArgs(2)(c, args); err != nil {
		return err
	}
	switch verdict := args[1]; {
	case verdict == "undo" || verdict == "list":
		return fmt.Errorf("%s comes first: reconbeat feedback %[1]s", verdict)
	case !isVerdict(verdict):
		return fmt.Errorf("the verdict %q is not allowed; it must be benign, malicious or unsure", verdict)
	}
	return nil
}

func giveFeedback(settings instance.Settings, id, verdict, note, by string) error {
	b, err := configured(settings)
	if err != nil {
		return err
	}
	docs, err := alertWith(b, id)
	if err != nil {
		return err
	}
	about := docs[0].Fields
	for _, doc := range docs {
		if isStory(text(doc.Fields, "event.action")) && strings.HasPrefix(text(doc.Fields, "event.id"), id) {
			return fmt.Errorf("%q is a story of several alerts; give feedback on each: %s", id,
				strings.Join(texts(doc.Fields, "reconbeat.correlation.members"), ", "))
		}
	}
	if !beater.OfMatch(about) {
		return fmt.Errorf("alert %q is about the source of program starts and not about a match; no model learned it", id)
	}
	fb := beater.FeedbackOn(about)
	fb.Verdict, fb.Note, fb.By = verdict, note, by
	return leaveFeedback(b, fb)
}

// leaveFeedback leaves feedback in the inbox of the configured state.
func leaveFeedback(b *instance.Beat, fb detector.Feedback) error {
	fb.By, fb.At = cmp.Or(fb.By, whoami()), time.Now()
	if err := fb.Check(); err != nil {
		return err
	}
	message, err := json.Marshal(fb)
	if err != nil {
		return fmt.Errorf("writing feedback: %w", err)
	}
	what := fmt.Sprintf("alert %s of %s is %s", fb.AlertID, printable.Text(fb.Actor.String()), fb.Verdict)
	if fb.Verdict == detector.Undone {
		what = "take back what was said of alert " + fb.AlertID
	}
	return leave(beater.StateDir(b.Paths), beater.InboxFeedback, message, what)
}

// given reads the configuration, and the feedback that holds, that included which reconbeat has not yet taken up.
func given(settings instance.Settings) (*instance.Beat, []detector.Feedback, error) {
	b, err := configured(settings)
	if err != nil {
		return nil, nil, err
	}
	k, err := known(b)
	if errors.Is(err, errNothingLearned) {
		return b, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return b, k.detector.Verdicts(), nil
}

func undoFeedback(settings instance.Settings, id, note, by string) error {
	b, all, err := given(settings)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(fb detector.Feedback) bool { return !strings.HasPrefix(fb.AlertID, id) })
	switch {
	case len(all) == 0 || id == "":
		return fmt.Errorf("alert %q: no feedback that holds is on it; reconbeat feedback list has them", id)
	case len(all) > 1:
		return fmt.Errorf("alert %q: several ids begin so: %s, %s", id, all[0].AlertID, all[1].AlertID)
	}
	fb := all[0]
	if fb.Source == detector.FromKibana {
		return fmt.Errorf("alert %s: it was said in Kibana; take the mark away there, or give other feedback here, "+
			"which goes before", fb.AlertID)
	}
	fb.Verdict, fb.Note, fb.By = detector.Undone, note, by
	return leaveFeedback(b, fb)
}

func listFeedback(out io.Writer, settings instance.Settings, format string) error {
	if err := checkAlertFormat(format); err != nil {
		return err
	}
	_, all, err := given(settings)
	if err != nil {
		return err
	}
	if format == "json" {
		return writeLines(out, all)
	}
	if len(all) == 0 {
		fmt.Fprintln(out, "No feedback holds.")
		return nil
	}
	w := tabwriter.NewWriter(out, 2, 0, 2, ' ', 0)
	fmt.Fprintln(w, "GIVEN\tVERDICT\tACTOR\tRULE\tBY\tNOTE\tALERT")
	for _, fb := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", fb.At.UTC().Format("2006-01-02 15:04:05"), fb.Verdict,
			printable.Text(fb.Actor.String()), printable.Text(fb.Rule), printable.Text(fb.By),
			cmp.Or(printable.Text(fb.Note), "-"), fb.AlertID)
	}
	return w.Flush()
}
