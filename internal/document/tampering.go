// SPDX-License-Identifier: Apache-2.0

package document

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/ecs"
	"github.com/reconbeat/reconbeat/internal/dataset"
	"github.com/reconbeat/reconbeat/process"
)

// tamperKind is what the documents of one kind of tampering say beside the event.
type tamperKind struct {
	category  []string
	typ       string
	severity  int
	tactic    attack
	technique attack
	sub       attack // empty: none
}

// milliseconds is the format of times in documents.
const milliseconds = "2006-01-02T15:04:05.000Z"

// attack is a tactic or technique of ATT&CK.
type attack struct{ id, name, reference string }

// The tactic and techniques of tampering. A process that takes another login user leaves audit as it is, and makes what
// it does look like somebody else's: that is Masquerading, not Impair Defenses; it uses no account's credentials, so it
// is not Valid Accounts.
var (
	defenseEvasion = attack{"TA0005", "Defense Evasion", "https://attack.mitre.org/tactics/TA0005/"}
	impairDefenses = attack{"T1562", "Impair Defenses", "https://attack.mitre.org/techniques/T1562/"}
	disableAudit   = attack{
		"T1562.012",
		"Disable or Modify Linux Audit System",
		"https://attack.mitre.org/techniques/T1562/012/",
	}
	masquerading = attack{"T1036", "Masquerading", "https://attack.mitre.org/techniques/T1036/"}
)

// tamperKinds says, by event.action, what the documents are. Category and type are those that Elastic's integrations
// give the same records, as far as ECS allows.
var tamperKinds = map[string]tamperKind{
	process.ChangedAudit: {
		[]string{"process", "configuration"},
		"change",
		73,
		defenseEvasion,
		impairDefenses,
		disableAudit,
	},
	process.StoppedAudit: {[]string{"process"}, "end", 73, defenseEvasion, impairDefenses, disableAudit},
	process.ChangedLogin: {[]string{"process"}, "change", 73, defenseEvasion, masquerading, attack{}},
}

// tamperingFields are the fields that documents of tampering fill beside those of every event and alert, with their
// types in Elasticsearch.
var tamperingFields = map[string]string{
	"event.start": "date", "event.end": "date", "event.duration": "long",
	"threat.technique.subtechnique.id": "keyword", "threat.technique.subtechnique.name": "keyword",
	"threat.technique.subtechnique.reference": "keyword",
	"reconbeat.tampering.text":                "keyword", "reconbeat.tampering.record": "keyword",
}

// Tampering makes the document of what somebody changed about what the source reports, or that it is as before. text
// says the same in words. nil: the module's processors dropped the document.
func (m *Maker) Tampering(e *process.Event, from *Source) (doc *Document, text string) {
	text = strings.Clone(e.Change.Text)
	if e.Change.Action != process.RestoredAudit {
		text = doer(e) + " " + text
	}
	processed := m.process(m.encodeTampering(e, from, text), from)
	if processed == nil {
		return nil, text
	}
	return m.finish(processed, from, m.tamperID(e), Durable), text
}

func (m *Maker) encodeTampering(e *process.Event, from *Source, text string) *beat.Event {
	fields := ecs.Encode(e)
	if e.Host == (process.Host{}) {
		m.addHost(fields, from)
	}
	related(fields, e)
	m.Detector.Actor(e).Encode(fields)
	m.address(fields, dataset.Alert)
	put(fields, "event.id", m.tamperID(e))
	put(fields, "event.action", strings.Clone(e.Change.Action))
	put(fields, "event.reason", text)
	put(fields, "reconbeat.tampering.text", strings.Clone(e.Change.Text))
	if e.Change.Record != "" {
		put(fields, "reconbeat.tampering.record", strings.Clone(e.Change.Record))
	}
	if k, alert := tamperKinds[e.Change.Action]; alert {
		k.encode(fields)
		put(fields, "message", "Tampering with the Linux audit system by "+actorOf(e))
	} else {
		put(fields, "event.kind", "event")
		put(fields, "event.category", []string{"process", "configuration"})
		put(fields, "event.type", []string{"change"})
		put(fields, "event.start", e.Change.Since.UTC().Format(milliseconds))
		put(fields, "event.end", e.Time.UTC().Format(milliseconds))
		put(fields, "event.duration", e.Time.Sub(e.Change.Since).Nanoseconds())
		put(fields, "message", "Program starts are reported again")
	}
	return &beat.Event{Timestamp: e.Time, Fields: fields, Meta: mapstr.M{}}
}

// encode puts in what makes an alert of the document.
func (k tamperKind) encode(fields mapstr.M) {
	put(fields, "event.kind", "alert")
	put(fields, "event.category", k.category)
	put(fields, "event.type", []string{k.typ})
	put(fields, "event.severity", k.severity)
	put(fields, "event.risk_score", float64(k.severity))
	put(fields, "event.reference", k.technique.reference)
	put(fields, "rule.name", "Tampering with the Linux audit system")
	put(fields, "rule.category", k.tactic.name)
	put(fields, "rule.ruleset", "reconbeat")
	put(fields, "threat.framework", "MITRE ATT&CK")
	for name, a := range map[string]attack{"tactic": k.tactic, "technique": k.technique, "technique.subtechnique": k.sub} {
		if a.id != "" {
			put(fields, "threat."+name+".id", []string{a.id})
			put(fields, "threat."+name+".name", []string{a.name})
			put(fields, "threat."+name+".reference", []string{a.reference})
		}
	}
}

// tamperID is the id of what somebody did: the same however often its record is read.
func (m *Maker) tamperID(e *process.Event) string {
	host := e.Host.ID
	if host == "" {
		host = m.Host.ID
	}
	return process.ID(
		"tampering",
		host,
		strconv.FormatInt(e.Time.UnixNano(), 10),
		strconv.FormatUint(e.Sequence, 10),
		e.Change.Action,
		e.Change.Text,
	)
}

// actorOf names who did it: the login user, else the account of the process.
func actorOf(e *process.Event) string {
	for _, u := range []process.User{e.Session.User, e.User} {
		switch {
		case u.Name != "":
			return u.Name
		case u.ID != process.Unset:
			return fmt.Sprintf("uid %d", u.ID)
		}
	}
	if e.PID == 0 {
		return "somebody whom no record names"
	}
	return "an unknown user"
}

// doer is the one who did it, and the program that it was done with.
func doer(e *process.Event) string {
	who := actorOf(e)
	if e.Session.User.ID != process.Unset && e.User.Known() && e.User.ID != e.Session.User.ID {
		who += " (as " + actorOf(&process.Event{Process: e.Process, Session: process.NoSession}) + ")"
	}
	if e.PID == 0 {
		return who
	}
	program := e.Executable
	if program == "" {
		program = e.Name
	}
	if program == "" {
		return fmt.Sprintf("%s, in process %d,", who, e.PID)
	}
	return fmt.Sprintf("%s, with %s (process %d),", who, program, e.PID)
}
