// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/common"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/ecs"
	"github.com/reconbeat/reconbeat/internal/dataset"
	"github.com/reconbeat/reconbeat/process"
)

// Document is what ships: a libbeat event with what the journal must know of it.
type Document struct {
	beat.Event
	ID   string // _id: the same exec, alert or summary has the same one, however often it is read
	Keep Keep
}

// Keep is how safely a document is kept until the output has acknowledged it.
type Keep uint8

// The ways to keep a document, from the least to the most.
const (
	InMemory  Keep = iota // raw events that no rule matched, which only `events: all` ships
	Journaled             // raw events of matches
	Durable               // alerts and what is concluded of several execs: on disk before they are handed on
)

// execDocument is the document of an exec before rules and models had their say.
func (eng *Engine) execDocument(e *process.Event, from *Source) *beat.Event {
	fields := ecs.Encode(e)
	if e.Host == (process.Host{}) {
		eng.addHost(fields, from)
	}
	related(fields, e)
	eng.detector.Actor(e).Encode(fields) // a finding has it, too, but not every exec has one
	eng.address(fields, dataset.Process)
	return &beat.Event{Timestamp: e.Time, Fields: fields, Meta: mapstr.M{}}
}

// addHost adds this host's description, unless the module has it left out.
func (eng *Engine) addHost(fields mapstr.M, from *Source) {
	if len(eng.host.Fields) > 0 && !from.PublisherPipeline.DisableHost {
		fields["host"] = eng.host.Fields.Clone()
	}
}

// address says which data stream a document belongs to.
func (eng *Engine) address(fields mapstr.M, kind dataset.Kind) { Address(fields, eng.config, kind) }

// Address says which data stream a document of a kind belongs to. event.module distinguishes our documents from all
// others, whatever the user calls the data set.
func Address(fields mapstr.M, cfg config.Config, kind dataset.Kind) {
	name := kind.In(cfg.Dataset)
	event := object(fields, "event")
	event["module"], event["dataset"] = "reconbeat", name
	fields["data_stream"] = mapstr.M{"type": dataset.Type, "dataset": name, "namespace": cfg.Namespace}
}

// raw makes of an exec's document the raw event.
func (eng *Engine) raw(
	doc *beat.Event, e *process.Event, from *Source, matched bool, findings []detector.Finding,
) *Document {
	id := eng.execID(e)
	if e.ID == "" {
		put(doc.Fields, "event.id", id)
	}
	if !matched && len(findings) == 0 {
		if from.hasProcessors() { // whatever types they have put into it; our own are plain
			doc.Fields = plain.Convert(doc.Fields)
		}
		return eng.finish(doc, from, id, InMemory)
	}
	var rules []string
	best := -1
	for i := range findings {
		if !findings[i].OfExec() {
			continue
		}
		rules = append(rules, findings[i].Rule.ID)
		if best < 0 || findings[i].Score > findings[best].Score {
			best = i
		}
	}
	if best >= 0 {
		put(doc.Fields, "reconbeat.rules", rules)
		findings[best].EncodeRaw(doc.Fields)
	}
	return eng.finish(doc, from, id, Journaled)
}

// alert makes the alert: the exec's document, and beside it the rule, the score and the reason.
func (eng *Engine) alert(doc *beat.Event, e *process.Event, from *Source, f *detector.Finding) *Document {
	alert := beat.Event{Timestamp: e.Time, Fields: doc.Fields.Clone(), Meta: doc.Meta.Clone()}
	exec := eng.execID(e)
	if e.ID != "" {
		exec = e.ID
	}
	put(alert.Fields, "event.kind", "alert")
	put(alert.Fields, "event.type", []string{"info"})
	put(alert.Fields, "event.action", "alert")
	id := f.AlertID
	switch {
	case f.Kind == detector.Correlated:
		put(alert.Fields, "event.action", "correlation")
		id = f.Correlation.ID
	case f.Escalated:
		put(alert.Fields, "event.action", "alert-escalated")
	}
	put(alert.Fields, "event.id", id)
	put(alert.Fields, "reconbeat.process.event_id", exec)
	put(alert.Fields, "reconbeat.rules", []string{f.Rule.ID})
	if f.Kind == detector.Correlated {
		put(alert.Fields, "reconbeat.rules", f.Correlation.Rules())
	}
	eng.address(alert.Fields, dataset.Alert)
	detector.Encode(f, alert.Fields)
	eng.addAncestry(alert.Fields, e, from)
	eng.addNote(alert.Fields, f)
	eng.addActivity(alert.Fields, e)
	eng.addProvenance(alert.Fields, e, from)
	eng.addAccount(alert.Fields, e, from)
	return eng.finish(&alert, from, id, Durable)
}

// conclusions are the values of event.action of findings that are about more than one exec.
var conclusions = map[detector.Kind]string{
	detector.Summary:  "alert-summary",
	detector.Habitual: "habit",
	detector.Learned:  "learned",
	detector.Limited:  "alerts-limited",
	detector.Answered: "feedback",

	detector.CorrelationEnd: "correlation-summary",
}

// conclusion makes the event about more than one exec, with what is configured for the module that it came
// from. nil: the module's processors dropped it.
func (eng *Engine) conclusion(f *detector.Finding, from *Source) *Document {
	doc := beat.Event{Timestamp: f.Time, Fields: mapstr.M{}, Meta: mapstr.M{}}
	eng.addHost(doc.Fields, from)
	put(doc.Fields, "event.kind", "event")
	put(doc.Fields, "event.category", []string{"process"})
	put(doc.Fields, "event.type", []string{"info"})
	put(doc.Fields, "event.action", conclusions[f.Kind])
	if id := cmp.Or(f.Report.Host, f.Withheld.Host, eng.otherHost(f)); id != "" {
		doc.Fields["host"] = mapstr.M{"id": id}
	}
	if f.Kind == detector.Answered {
		eng.addAuthor(doc.Fields, f.Feedback)
	}
	eng.address(doc.Fields, dataset.Alert)
	detector.Encode(f, doc.Fields)
	id := eng.conclusionID(f)
	put(doc.Fields, "event.id", id)
	processed := eng.processed(&doc, from)
	if processed == nil {
		return nil
	}
	return eng.finish(processed, from, id, Durable)
}

// addAuthor says who has given feedback, and on which host's alert.
func (eng *Engine) addAuthor(fields mapstr.M, fb *detector.Feedback) {
	put(fields, "event.category", []string{"configuration"})
	put(fields, "event.type", []string{"change"})
	if fb.Host != "" && fb.Host != eng.host.ID {
		fields["host"] = mapstr.M{"id": fb.Host}
	}
	if fb.By != "" {
		put(fields, "user.name", fb.By)
		put(fields, "related.user", []string{fb.By})
	}
}

// conclusionID is the id of a conclusion: the same one however often it is drawn.
func (eng *Engine) conclusionID(f *detector.Finding) string {
	switch f.Kind {
	case detector.Habitual:
		return process.ID("habit", f.AlertID, strconv.FormatInt(f.Time.UnixNano(), 10))
	case detector.Answered:
		return process.ID("feedback", f.AlertID, f.Feedback.Verdict, strconv.FormatInt(f.Time.UnixNano(), 10))
	case detector.Learned:
		return process.ID(
			"learned",
			cmp.Or(f.Report.Host, eng.host.ID),
			f.Rule.ID,
			strconv.FormatInt(f.Time.Unix()/86400, 10),
		)
	case detector.Limited:
		host, first := cmp.Or(f.Withheld.Host, eng.host.ID), f.Withheld.First.UnixNano()
		return process.ID("limited", host, f.Rule.ID, strconv.FormatInt(first, 10))
	}
	if f.Kind == detector.CorrelationEnd {
		return process.ID("correlation summary", f.Correlation.ID)
	}
	return process.ID("summary", f.Episode.ID)
}

// otherHost is the host that a correlation is of, where documents of another host brought it; else empty.
func (eng *Engine) otherHost(f *detector.Finding) string {
	if f.Host() == eng.host.ID {
		return ""
	}
	return f.Host()
}

// origin is the module that an open episode came from, as it is configured now. Of an episode that an earlier run
// opened that is not known; where one module runs, it is that one.
func (eng *Engine) origin(episode string) *Source {
	from := eng.origins[episode]
	if eng.running == nil {
		return cmp.Or(from, &Source{})
	}
	running := eng.running()
	for _, r := range running {
		if from != nil && r.ID == from.ID || from == nil && len(running) == 1 {
			return r
		}
	}
	return cmp.Or(from, &Source{})
}

// finish says what the output must know: the _id, and where the document goes if not into its data stream.
func (eng *Engine) finish(doc *beat.Event, from *Source, id string, keep Keep) *Document {
	if err := from.address(doc); err != nil {
		eng.misfit(from, err)
	}
	Identify(doc, id)
	return &Document{Event: *doc, ID: id, Keep: keep}
}

// plain makes of all values of a document those that libbeat's outputs know, as libbeat's pipeline does.
var plain = common.NewGenericEventConverter(true, logp.NewNopLogger())

// Identify gives a document its _id, which makes of a second delivery a conflict instead of a double. A data stream
// takes documents by `create` only.
func Identify(doc *beat.Event, id string) {
	doc.Meta["_id"] = id
	doc.Meta["op_type"] = "create"
}

// execID is the id of an exec: the same however often it is read.
func (eng *Engine) execID(e *process.Event) string {
	host := e.Host.ID
	if host == "" {
		host = eng.host.ID
	}
	if e.ID != "" {
		return process.ID(host, e.ID)
	}
	return process.ID(
		host,
		strconv.FormatInt(e.Time.UnixNano(), 10),
		strconv.FormatUint(uint64(e.PID), 10),
		strconv.FormatUint(e.Sequence, 10),
	)
}

// related fills related.*: what an analyst pivots on.
func related(fields mapstr.M, e *process.Event) {
	var users, ips []string
	for _, u := range []process.User{e.User, e.Effective, e.Session.User} {
		if u.Name != "" && !slices.Contains(users, u.Name) {
			users = append(users, u.Name)
		}
	}
	if e.Session.Source.IsValid() {
		ips = append(ips, e.Session.Source.String())
	}
	if len(users) > 0 {
		object(fields, "related")["user"] = users
	}
	if len(ips) > 0 {
		object(fields, "related")["ip"] = ips
	}
	if e.Binary.SHA256 != "" {
		object(fields, "related")["hash"] = []string{e.Binary.SHA256}
	}
	if host, ok := fields["host"].(mapstr.M); ok {
		if name, ok := host["name"].(string); ok {
			object(fields, "related")["hosts"] = []string{name}
		}
	}
}

// readBack takes from a document what the module's processors may know better: the container.
func readBack(doc *beat.Event, e *process.Event) {
	for field, to := range map[string]*string{
		"container.id":         &e.Container.ID,
		"container.name":       &e.Container.Name,
		"container.image.name": &e.Container.Image,
	} {
		if v, err := doc.Fields.GetValue(field); err == nil {
			if s, ok := v.(string); ok && s != "" {
				*to = s
			}
		}
	}
}

// object is the object of that name in a document of ours, which is made where there is none.
func object(m mapstr.M, name string) mapstr.M {
	o, ok := m[name].(mapstr.M)
	if !ok {
		o = mapstr.M{}
		m[name] = o
	}
	return o
}

// put sets a dotted field. The documents are ours, so that no part of the way can be anything but an object.
func put(m mapstr.M, field string, value any) { _, _ = m.Put(field, value) }
