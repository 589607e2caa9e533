// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/config/settings"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/state"
	"github.com/reconbeat/reconbeat/module/elasticsearch"
	"github.com/reconbeat/reconbeat/process"
)

// kibana gives the model what analysts say of our alerts in Kibana. Only alerts that this reconbeat keeps are asked
// about, so whoever may write to Kibana's index can say something of those alone. Nothing is remembered beside the
// model: what Kibana says is compared with what holds, so that nothing is said twice, also after a restart.
type kibana struct {
	loop   *loop
	health *health.Board
	logger *logp.Logger
	log    *state.AlertReader
	change chan *elasticsearch.Triage // the one that takes the place of the last; nil: none is configured

	alerts map[string]detector.Feedback // what was alerted on, by the alert's id, without a verdict
	order  []string                     // its keys, the oldest first
	said   map[string]string            // the mark of each alert that this run has handed to the model
	parts  map[string][]string          // the alerts of which a story is made, by the story's id

	polls, failures, applied, undone atomic.Uint64
}

// mostAsked bounds the alerts that are asked about, the newest. The alert log has a few thousand at most.
const mostAsked = 10_000

// mostNamed bounds what is kept of a user's name, in bytes.
const mostNamed = 128

func newKibana(l *loop, dir string, board *health.Board, logger *logp.Logger) *kibana {
	return &kibana{
		loop: l, health: board, logger: logger, log: state.NewAlertReader(dir),
		change: make(chan *elasticsearch.Triage, 1),
		alerts: map[string]detector.Feedback{}, said: map[string]string{}, parts: map[string][]string{},
	}
}

// triage makes what reads from Kibana; nil: none is configured. The error names everything that is wrong.
func triage(cfg config.Config, logger *logp.Logger) (*elasticsearch.Triage, error) {
	c := cfg.Feedback.FromKibana
	if c == nil || !c.Enabled() {
		return nil, nil
	}
	t, err := elasticsearch.NewTriage(c, logger)
	return t, settings.At("reconbeat.feedback.from_kibana.", err)
}

// use has another Triage, or none, take the place of the last.
func (k *kibana) use(t *elasticsearch.Triage) {
	select {
	case <-k.change: // nobody has come to it
	default:
	}
	k.change <- t
}

// run asks Kibana every period until ctx ends.
func (k *kibana) run(ctx context.Context) {
	var current *elasticsearch.Triage
	every := time.NewTimer(0)
	defer every.Stop()
	defer func() {
		if current != nil {
			current.Close()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-k.change:
			if current != nil {
				current.Close()
			}
			if current = t; t == nil {
				k.health.End(health.FeedbackUnread, "")
			}
			every.Reset(0)
			continue
		case <-every.C:
		}
		if current == nil {
			continue
		}
		err := k.poll(ctx, current)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			k.failures.Add(1)
			k.health.Set(health.FeedbackUnread, "", err.Error(), time.Now())
		default:
			k.health.Clear(health.FeedbackUnread, "")
		}
		every.Reset(current.Period)
	}
}

// poll asks once, and hands what is new to the model.
func (k *kibana) poll(ctx context.Context, t *elasticsearch.Triage) error {
	if err := k.readAlerts(); err != nil {
		return err
	}
	holds := map[string]detector.Feedback{}
	err := k.loop.call(func() {
		for _, fb := range k.loop.engine.Verdicts() {
			holds[fb.AlertID] = fb
		}
	})
	if err != nil {
		return err
	}
	ids := slices.Clone(k.order)
	for id, fb := range holds {
		if _, known := k.alerts[id]; !known && fb.Source == detector.FromKibana {
			ids = append(ids, id) // the alert log has let it go; the mark may still be taken away
		}
	}
	slices.Sort(ids[len(k.order):])
	ids = append(ids, slices.Sorted(maps.Keys(k.parts))...)
	k.polls.Add(1)
	words, err := t.Words(ctx, ids)
	if err != nil {
		return err
	}
	for _, w := range k.ofParts(words) {
		if fb, new := k.news(w, holds); new {
			if err := k.say(fb, w); err != nil {
				return err
			}
		}
	}
	return nil
}

// ofParts has what is said of a story stand for each of its parts of which nothing is said: Kibana shows most parts in
// the story alone.
func (k *kibana) ofParts(words []elasticsearch.Word) []elasticsearch.Word {
	at := map[string]int{}
	var all []elasticsearch.Word
	for _, w := range words {
		if _, story := k.parts[w.AlertID]; !story {
			at[w.AlertID] = len(all)
			all = append(all, w)
		}
	}
	for _, w := range words {
		for _, part := range k.parts[w.AlertID] {
			i, known := at[part]
			switch w.AlertID = part; {
			case !known:
				at[part] = len(all)
				all = append(all, w)
			case all[i].Verdict == "":
				all[i] = w
			}
		}
	}
	return all
}

// news is the feedback that a word is, and whether it is to be said. What was said on the host goes before. A verdict
// that the model has dropped, since it keeps a bounded number, is not said again.
func (k *kibana) news(w elasticsearch.Word, holds map[string]detector.Feedback) (fb detector.Feedback, new bool) {
	before, held := holds[w.AlertID]
	fb, alerted := k.alerts[w.AlertID]
	if held {
		fb, alerted = before, true
	}
	by := strings.ToValidUTF8(w.By[:min(len(w.By), mostNamed)], "")
	fb.Verdict, fb.By, fb.Source = w.Verdict, cmp.Or(by, "an analyst in Kibana"), detector.FromKibana
	fb.Note, fb.At = "Kibana: "+w.Mark, time.Now()
	if w.Verdict == "" {
		fb.Verdict, fb.Note = detector.Undone, "Kibana: the mark was taken away"
	}
	switch {
	case held && before.Source != detector.FromKibana:
		delete(k.said, w.AlertID) // it counts again where that is taken back
		return fb, false
	case !alerted:
		return fb, false
	case w.Verdict == "":
		return fb, held
	case held:
		return fb, before.Verdict != w.Verdict
	}
	return fb, k.said[w.AlertID] != w.Verdict
}

// say hands feedback to the model.
func (k *kibana) say(fb detector.Feedback, w elasticsearch.Word) error {
	if err := fb.Check(); err != nil {
		k.said[fb.AlertID] = w.Verdict
		k.logger.Warnf("what Kibana says of alert %s is not taken: %v", fb.AlertID, err)
		return nil // it would not be better the next time
	}
	err := k.loop.call(func() {
		k.logger.Infof("feedback: %s", k.loop.engine.Said(fb))
		k.loop.saved = time.Time{} // soon
	})
	if err != nil {
		return err
	}
	k.said[fb.AlertID] = w.Verdict
	if fb.Verdict == detector.Undone {
		k.undone.Add(1)
	} else {
		k.applied.Add(1)
	}
	return nil
}

// readAlerts reads what was alerted on since the last time.
func (k *kibana) readAlerts() error {
	err := k.log.Next(func(line []byte) error {
		doc, err := decode(line)
		if err != nil {
			return nil // cut off by a crash
		}
		if IsStory(doc.Fields) {
			id := stringOf(doc.Fields, "reconbeat.correlation.id")
			k.parts[id] = Parts(doc.Fields) // the event that ends a story may name more of them
			return nil
		}
		if stringOf(doc.Fields, "event.kind") != "alert" || !OfMatch(doc.Fields) {
			return nil // a summary, or about the source of program starts
		}
		fb := FeedbackOn(doc.Fields)
		if _, known := k.alerts[fb.AlertID]; !known {
			k.order = append(k.order, fb.AlertID)
		}
		k.alerts[fb.AlertID] = fb
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for len(k.order) > mostAsked {
		delete(k.alerts, k.order[0])
		delete(k.said, k.order[0])
		k.order = k.order[1:]
	}
	maps.DeleteFunc(k.parts, func(_ string, parts []string) bool {
		return !slices.ContainsFunc(parts, func(id string) bool { _, known := k.alerts[id]; return known })
	})
	return nil
}

// IsStory reports whether a document is about several alerts.
func IsStory(doc mapstr.M) bool { return stringOf(doc, "rule.id") == detector.CorrelationRule }

// Parts are the ids of the alerts of which a story is made, as far as its document names them.
func Parts(story mapstr.M) (ids []string) {
	v, err := story.GetValue("reconbeat.correlation.members")
	if err != nil {
		return nil
	}
	switch v := v.(type) {
	case []string:
		return v
	case []any: // read as JSON
		for _, id := range v {
			ids = append(ids, fmt.Sprint(id))
		}
	}
	return ids
}

// OfMatch reports whether an alert is about a match, and neither about the source of program starts nor a story.
func OfMatch(alert mapstr.M) bool {
	_, err := alert.GetValue("reconbeat.anomaly")
	return err == nil && stringOf(alert, "rule.id") != "" && !IsStory(alert)
}

// FeedbackOn is feedback on an alert, by its document, without a verdict.
func FeedbackOn(alert mapstr.M) detector.Feedback {
	fb := detector.Feedback{
		AlertID: stringOf(alert, "event.id"), Rule: stringOf(alert, "rule.id"), Host: stringOf(alert, "host.id"),
		Actor: detector.Actor{
			ID: process.Unset, Name: stringOf(alert, "reconbeat.actor.name"),
			Service:   stringOf(alert, "reconbeat.actor.kind") == "service",
			Container: stringOf(alert, "reconbeat.actor.container"),
		},
	}
	if id, err := strconv.ParseUint(stringOf(alert, "reconbeat.actor.id"), 10, 32); err == nil {
		fb.Actor.ID = uint32(id)
	}
	return fb
}

// stringOf is a field as text; empty where it is missing.
func stringOf(doc mapstr.M, field string) string {
	v, err := doc.GetValue(field)
	if err != nil || v == nil {
		return ""
	}
	return fmt.Sprint(v)
}
