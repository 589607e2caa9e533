// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/ecs"
	"github.com/reconbeat/reconbeat/internal/dataset"
	"github.com/reconbeat/reconbeat/process"
)

// The kinds of documents, each with a data stream of its own: logs-DATASET.KIND-NAMESPACE.
const (
	kindAlert   = string(dataset.Alert)
	kindProcess = string(dataset.Process)
	kindHealth  = string(dataset.Health)
)

// document is what ships: a libbeat event with what the journal must know of it.
type document struct {
	beat.Event
	id      string // _id: the same exec, alert or summary has the same one, however often it is read
	durable bool   // alerts and summaries: on disk before they are handed on
}

// hostFields is this host as every document of its events tells it.
type hostFields struct {
	id     string
	bootID string   // of the running kernel
	fields mapstr.M // host.*
}

// document is the document of an exec before rules and models had their say.
func (s *stream) document(e *process.Event, from *source) *beat.Event {
	fields := ecs.Encode(e)
	if e.Host == (process.Host{}) {
		s.tellHost(fields, from)
	}
	related(fields, e)
	s.detector.Actor(e).Encode(fields) // a finding tells it, too, but not every exec has one
	s.dataStream(fields, kindProcess)
	return &beat.Event{Timestamp: e.Time, Fields: fields, Meta: mapstr.M{}}
}

// tellHost adds this host's description, unless the module has it left out.
func (s *stream) tellHost(fields mapstr.M, from *source) {
	if len(s.host.fields) > 0 && !from.PublisherPipeline.DisableHost {
		fields["host"] = s.host.fields.Clone()
	}
}

// dataStream says which data stream a document belongs to. event.module tells our documents from all others, whatever the user calls the data set.
func (s *stream) dataStream(fields mapstr.M, kind string) {
	name := dataset.Kind(kind).In(s.config.Dataset)
	put(fields, "event.module", "reconbeat")
	put(fields, "event.dataset", name)
	fields["data_stream"] = mapstr.M{"type": dataset.Type, "dataset": name, "namespace": s.config.Namespace}
}

// raw makes of an exec's document the raw event.
func (s *stream) raw(doc *beat.Event, e *process.Event, from *source, findings []detector.Finding) *document {
	id := s.execID(e)
	if e.ID == "" {
		put(doc.Fields, "event.id", id)
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
	return s.finish(doc, from, id, false)
}

// alert makes the alert: the exec's document, and beside it the rule, the score and the reason.
func (s *stream) alert(doc *beat.Event, e *process.Event, from *source, f *detector.Finding) *document {
	alert := beat.Event{Timestamp: e.Time, Fields: doc.Fields.Clone(), Meta: doc.Meta.Clone()}
	exec := s.execID(e)
	if e.ID != "" {
		exec = e.ID
	}
	put(alert.Fields, "event.kind", "alert")
	put(alert.Fields, "event.type", []string{"info"})
	put(alert.Fields, "event.action", "alert")
	if f.Escalated {
		put(alert.Fields, "event.action", "alert-escalated")
	}
	put(alert.Fields, "event.id", f.AlertID)
	put(alert.Fields, "reconbeat.process.event_id", exec)
	put(alert.Fields, "reconbeat.rules", []string{f.Rule.ID})
	s.dataStream(alert.Fields, kindAlert)
	detector.Encode(f, alert.Fields)
	return s.finish(&alert, from, f.AlertID, true)
}

// conclusions are the values of event.action of findings that are about more than one exec.
var conclusions = map[detector.Kind]string{detector.Summary: "alert-summary", detector.Habitual: "habit", detector.Learned: "learned"}

// conclusion makes the event that tells of more than one exec, with what is configured for the module that it came from. nil: the module's processors dropped it.
func (s *stream) conclusion(f *detector.Finding, from *source) *document {
	doc := beat.Event{Timestamp: f.Time, Fields: mapstr.M{}, Meta: mapstr.M{}}
	s.tellHost(doc.Fields, from)
	put(doc.Fields, "event.kind", "event")
	put(doc.Fields, "event.category", []string{"process"})
	put(doc.Fields, "event.type", []string{"info"})
	put(doc.Fields, "event.action", conclusions[f.Kind])
	if f.Report.Host != "" {
		doc.Fields["host"] = mapstr.M{"id": f.Report.Host}
	}
	s.dataStream(doc.Fields, kindAlert)
	detector.Encode(f, doc.Fields)
	id := s.conclusionID(f)
	put(doc.Fields, "event.id", id)
	processed, ok := s.processed(&doc, from)
	if !ok {
		return nil
	}
	return s.finish(processed, from, id, true)
}

// conclusionID is the id of a conclusion: the same one however often it is drawn.
func (s *stream) conclusionID(f *detector.Finding) string {
	switch f.Kind {
	case detector.Habitual:
		return process.ID("habit", f.AlertID, strconv.FormatInt(f.Time.UnixNano(), 10))
	case detector.Learned:
		return process.ID("learned", cmp.Or(f.Report.Host, s.host.id), f.Rule.ID, strconv.FormatInt(f.Time.Unix()/86400, 10))
	}
	return process.ID("summary", f.Episode.ID)
}

// origin is the module that an open episode came from, as it is configured now. Of an episode that an earlier run opened that is not known; where one module runs, it is that one.
func (s *stream) origin(episode string) *source {
	from := s.origins[episode]
	if s.modules == nil {
		return cmp.Or(from, &source{})
	}
	running := s.modules.list()
	for _, r := range running {
		if from != nil && r.source.ID == from.ID || from == nil && len(running) == 1 {
			return r.source
		}
	}
	return cmp.Or(from, &source{})
}

// finish says what the output must know: where the document goes if not into its data stream, that a data stream takes documents by `create` only, and the _id, which makes
// of a second delivery a conflict instead of a double.
func (s *stream) finish(doc *beat.Event, from *source, id string, durable bool) *document {
	if err := from.address(doc); err != nil {
		s.trouble(from, err)
	}
	doc.Meta["_id"] = id
	doc.Meta["op_type"] = "create"
	return &document{Event: *doc, id: id, durable: durable}
}

// execID is the id of an exec: the same however often it is read.
func (s *stream) execID(e *process.Event) string {
	host := e.Host.ID
	if host == "" {
		host = s.host.id
	}
	if e.ID != "" {
		return process.ID(host, e.ID)
	}
	return process.ID(host, strconv.FormatInt(e.Time.UnixNano(), 10), strconv.FormatUint(uint64(e.PID), 10), strconv.FormatUint(e.Sequence, 10))
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
		put(fields, "related.user", users)
	}
	if len(ips) > 0 {
		put(fields, "related.ip", ips)
	}
	if e.Binary.SHA256 != "" {
		put(fields, "related.hash", []string{e.Binary.SHA256})
	}
	if name, err := fields.GetValue("host.name"); err == nil {
		if n, ok := name.(string); ok {
			put(fields, "related.hosts", []string{n})
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

// put sets a dotted field. The documents are ours, so that no part of the way can be anything but an object.
func put(m mapstr.M, field string, value any) { _, _ = m.Put(field, value) }
