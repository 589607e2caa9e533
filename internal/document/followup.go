// SPDX-License-Identifier: Apache-2.0

package document

import (
	"fmt"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/internal/dataset"
	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/process"
)

// FollowUp makes the document of what ran in an alert's session after it, when that is known.
type FollowUp struct {
	maker   *Maker
	event   *process.Event // the alert's exec
	from    *Source
	alertID string
	fields  mapstr.M // what the alert says of whose it is
}

// shared are the fields of an alert that the follow-up of it has, too.
var shared = []string{
	"host", "container.id", "container.name", "container.image.name", "kubernetes", "user", "process.pid",
	"process.entity_id",
	"related.user", "related.hosts", "reconbeat.actor", "reconbeat.alert.id", "reconbeat.alert.test",
	"reconbeat.episode.id", "reconbeat.rules", "reconbeat.visit.id", "rule.id", "rule.name",
}

// FollowUp keeps what is needed of an alert of the exec, before the alert is handed on.
func (x *Exec) FollowUp(alert *Document) *FollowUp {
	u := &FollowUp{
		maker: x.maker, event: &process.Event{}, from: x.from, alertID: alert.ID, fields: mapstr.M{},
	}
	u.event.Copy(x.event)
	whole := alert.Fields.Clone()
	for _, name := range shared {
		if v, err := whole.GetValue(name); err == nil {
			put(u.fields, name, v)
		}
	}
	return u
}

// Began is when the alert's program started.
func (u *FollowUp) Began() time.Time { return u.event.Time }

// From is the module that the alert came from.
func (u *FollowUp) From() *Source { return u.from }

// EndsWith reports whether the end of a login session ends what is waited for.
func (u *FollowUp) EndsWith(logout *process.Event) bool {
	return logout.Host.ID == u.event.Host.ID && logout.Session.ID == u.event.Session.ID &&
		logout.Session.ID != process.Unset
}

// Document makes the document of what ran until a time. It is made once. nil: the module's processors dropped it.
func (u *FollowUp) Document(until time.Time) *Document {
	m, fields := u.maker, u.fields
	execs, whole := m.Table.Later(u.event, until)
	list, truncated := m.activity(execs)
	put(fields, "event.kind", "event")
	put(fields, "event.category", []string{"process"})
	put(fields, "event.type", []string{"info"})
	put(fields, "event.action", "alert-follow-up")
	put(fields, "event.start", u.event.Time.UTC().Format(milliseconds))
	put(fields, "event.end", until.UTC().Format(milliseconds))
	put(fields, "event.duration", until.Sub(u.event.Time).Nanoseconds())
	put(fields, "message", "After the alert: "+u.text(len(execs), whole, until))
	putActivity(fields, afterField, list, truncated || !whole)
	m.address(fields, dataset.Alert)
	id := process.ID("follow-up", u.alertID)
	put(fields, "event.id", id)
	doc := m.process(&beat.Event{Timestamp: until, Fields: fields, Meta: mapstr.M{}}, u.from)
	if doc == nil {
		return nil
	}
	return m.finish(doc, u.from, id, Durable)
}

// text says how many programs have started.
func (u *FollowUp) text(n int, whole bool, until time.Time) string {
	within := span(until.Sub(u.event.Time))
	where := "in the session"
	if u.event.Session.ID == process.Unset {
		where = "by the same user"
	}
	switch {
	case n == 0 && !whole:
		return fmt.Sprintf("what started %s within %s is not known", where, within)
	case n == 0:
		return fmt.Sprintf("no other program started %s within %s", where, within)
	case !whole:
		return fmt.Sprintf("more than %s started %s within %s", plural.Of(n, "other program"), where, within)
	}
	return fmt.Sprintf("%s started %s within %s", plural.Of(n, "other program"), where, within)
}

// span is a duration in whole minutes or seconds, of which a part counts as one.
func span(d time.Duration) string {
	if d = (d + time.Second - 1).Truncate(time.Second); d >= time.Minute && d%time.Minute == 0 {
		return plural.Of(int64(d/time.Minute), "minute")
	}
	return plural.Of(int64(d/time.Second), "second")
}
