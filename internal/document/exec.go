// SPDX-License-Identifier: Apache-2.0

package document

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/ecs"
	"github.com/reconbeat/reconbeat/internal/dataset"
	"github.com/reconbeat/reconbeat/process"
)

// Exec makes the documents of one program start. What all of them share is made when somebody wants to see it first: a
// processor of the module, a control, or the output.
type Exec struct {
	maker *Maker
	event *process.Event
	from  *Source

	doc     *beat.Event // as the module's processors have left it
	dropped bool        // a processor of the module dropped it
}

// Exec returns what makes the documents of an exec. It uses e until it is forgotten.
func (m *Maker) Exec(e *process.Event, from *Source) Exec {
	return Exec{maker: m, event: e, from: from}
}

// Process has the module's processors see the exec before it is judged, and takes from its document what they may know
// better. It reports whether they keep it.
func (x *Exec) Process() bool {
	if !x.from.hasProcessors() {
		return true
	}
	doc := x.document()
	if doc == nil {
		return false
	}
	before := x.maker.Detector.Actor(x.event)
	readBack(doc, x.event)
	if actor := x.maker.Detector.Actor(x.event); actor != before {
		actor.Encode(doc.Fields)
	}
	return true
}

// document is what the exec's documents share, after the module's processors; nil: one of them dropped it.
func (x *Exec) document() *beat.Event {
	if x.doc == nil && !x.dropped {
		x.doc = x.maker.process(x.encode(), x.from)
		x.dropped = x.doc == nil
	}
	return x.doc
}

// encode makes the document of an exec before rules and models had their say.
func (x *Exec) encode() *beat.Event {
	m, e := x.maker, x.event
	fields := ecs.Encode(e)
	if e.Host == (process.Host{}) {
		m.addHost(fields, x.from)
	}
	related(fields, e)
	m.Detector.Actor(e).Encode(fields) // a finding has it, too, but not every exec has one
	m.address(fields, dataset.Process)
	return &beat.Event{Timestamp: e.Time, Fields: fields, Meta: mapstr.M{}}
}

// Value is a field that an alert of the exec would have beside those of the finding; nil: none.
func (x *Exec) Value(field string) any {
	if field == entitiesField || strings.HasPrefix(field, ancestryField+".") {
		return x.maker.ancestryValue(x.event, x.from, field)
	}
	if isBefore(field) {
		return x.maker.beforeValue(x.event, field)
	}
	switch {
	case field == "event.id": // which the alert gets when it is raised; that of the exec is the next one
		return nil
	case field == "reconbeat.process.event_id":
		return cmp.Or(x.event.ID, x.maker.execID(x.event))
	case isFrame(field):
		frame := mapstr.M{}
		x.maker.frame(frame)
		v, _ := frame.GetValue(field) // a namespace may be missing
		return v
	}
	v, err := x.document().Fields.GetValue(field)
	if err == nil {
		return v
	}
	if _, ok := accountFields[field]; ok {
		return x.maker.accountValue(x.event, x.from, field)
	}
	if _, ok := provenanceFields[field]; ok {
		return x.maker.provenanceValue(x.event, x.from, field)
	}
	return nil
}

// Raw makes the raw event. matched: a rule means the exec; findings are what the detector has found of it.
func (x *Exec) Raw(matched bool, findings []detector.Finding) *Document {
	doc, m := x.document(), x.maker
	id := m.execID(x.event)
	if x.event.ID == "" {
		put(doc.Fields, "event.id", id)
	}
	if !matched && len(findings) == 0 {
		if x.from.hasProcessors() { // whatever types they have put into it; our own are plain
			doc.Fields = plain.Convert(doc.Fields)
		}
		return m.finish(doc, x.from, id, InMemory)
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
	return m.finish(doc, x.from, id, Journaled)
}

// Alert makes an alert: the exec's document, and beside it the rule, the score and the reason. nil: the module's
// processors dropped the exec.
func (x *Exec) Alert(f *detector.Finding) *Document {
	m, e, doc := x.maker, x.event, x.document()
	if doc == nil {
		return nil
	}
	alert := beat.Event{Timestamp: e.Time, Fields: doc.Fields.Clone(), Meta: doc.Meta.Clone()}
	exec := cmp.Or(e.ID, m.execID(e))
	m.frame(alert.Fields)
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
	detector.Encode(f, alert.Fields)
	m.addAncestry(alert.Fields, e, x.from)
	m.addActivity(alert.Fields, e)
	m.addProvenance(alert.Fields, e, x.from)
	m.addAccount(alert.Fields, e, x.from)
	m.addNote(alert.Fields, f) // which has values of the others
	fit(alert.Fields)
	return m.finish(&alert, x.from, id, Durable)
}

// frame makes an alert of the document of an exec, as far as that does not depend on what was found.
func (m *Maker) frame(fields mapstr.M) {
	put(fields, "event.kind", "alert")
	put(fields, "event.type", []string{"info"})
	put(fields, "event.action", "alert")
	m.address(fields, dataset.Alert)
}

// isFrame says whether frame sets a field.
func isFrame(field string) bool {
	switch field {
	case "event.kind", "event.type", "event.action", "event.dataset":
		return true
	}
	return strings.HasPrefix(field, "data_stream.")
}

// execID is the id of an exec: the same however often it is read.
func (m *Maker) execID(e *process.Event) string {
	host := e.Host.ID
	if host == "" {
		host = m.Host.ID
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

		"kubernetes.namespace":      &e.Container.Namespace,
		"kubernetes.pod.name":       &e.Container.Pod,
		"kubernetes.container.name": &e.Container.Part,
	} {
		if v, err := doc.Fields.GetValue(field); err == nil {
			if s, ok := v.(string); ok && s != "" {
				*to = s
			}
		}
	}
}
