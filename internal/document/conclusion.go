// SPDX-License-Identifier: Apache-2.0

package document

import (
	"cmp"
	"strconv"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/dataset"
	"github.com/reconbeat/reconbeat/process"
)

// conclusions are the values of event.action of findings that are about more than one exec.
var conclusions = map[detector.Kind]string{
	detector.Summary:  "alert-summary",
	detector.Habitual: "habit",
	detector.Learned:  "learned",
	detector.Limited:  "alerts-limited",
	detector.Answered: "feedback",

	detector.CorrelationEnd: "correlation-summary",
}

// Conclusion makes the event about more than one exec, with what is configured for the module that it came
// from. nil: the module's processors dropped it.
func (m *Maker) Conclusion(f *detector.Finding, from *Source) *Document {
	doc := beat.Event{Timestamp: f.Time, Fields: mapstr.M{}, Meta: mapstr.M{}}
	m.addHost(doc.Fields, from)
	put(doc.Fields, "event.kind", "event")
	put(doc.Fields, "event.category", []string{"process"})
	put(doc.Fields, "event.type", []string{"info"})
	put(doc.Fields, "event.action", conclusions[f.Kind])
	if id := cmp.Or(f.Report.Host, f.Withheld.Host, m.otherHost(f)); id != "" {
		doc.Fields["host"] = mapstr.M{"id": id}
	}
	if f.Kind == detector.Answered {
		m.addAuthor(doc.Fields, f.Feedback)
	}
	m.address(doc.Fields, dataset.Alert)
	detector.Encode(f, doc.Fields)
	id := m.conclusionID(f)
	put(doc.Fields, "event.id", id)
	processed := m.process(&doc, from)
	if processed == nil {
		return nil
	}
	return m.finish(processed, from, id, Durable)
}

// addAuthor says who has given feedback, and on which host's alert.
func (m *Maker) addAuthor(fields mapstr.M, fb *detector.Feedback) {
	put(fields, "event.category", []string{"configuration"})
	put(fields, "event.type", []string{"change"})
	if fb.Host != "" && fb.Host != m.Host.ID {
		fields["host"] = mapstr.M{"id": fb.Host}
	}
	if fb.By != "" {
		put(fields, "user.name", fb.By)
		put(fields, "related.user", []string{fb.By})
	}
}

// conclusionID is the id of a conclusion: the same one however often it is drawn.
func (m *Maker) conclusionID(f *detector.Finding) string {
	switch f.Kind {
	case detector.Habitual:
		return process.ID("habit", f.AlertID, strconv.FormatInt(f.Time.UnixNano(), 10))
	case detector.Answered:
		return process.ID("feedback", f.AlertID, f.Feedback.Verdict, strconv.FormatInt(f.Time.UnixNano(), 10))
	case detector.Learned:
		return process.ID(
			"learned",
			cmp.Or(f.Report.Host, m.Host.ID),
			f.Rule.ID,
			strconv.FormatInt(f.Time.Unix()/86400, 10),
		)
	case detector.Limited:
		host, first := cmp.Or(f.Withheld.Host, m.Host.ID), f.Withheld.First.UnixNano()
		return process.ID("limited", host, f.Rule.ID, strconv.FormatInt(first, 10))
	}
	if f.Kind == detector.CorrelationEnd {
		return process.ID("correlation summary", f.Correlation.ID)
	}
	return process.ID("summary", f.Episode.ID)
}

// otherHost is the host that a correlation is of, where documents of another host brought it; else empty.
func (m *Maker) otherHost(f *detector.Finding) string {
	if f.Host() == m.Host.ID {
		return ""
	}
	return f.Host()
}
