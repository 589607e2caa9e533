// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"cmp"
	"slices"
	"time"

	"github.com/reconbeat/reconbeat/detector/habit"
	"github.com/reconbeat/reconbeat/process"
)

// hostSessions is what the accounts of a host run in their sessions. All rules share it.
type hostSessions struct {
	*habit.Sessions
	used time.Time
}

// awaited is a match whose session goes on: what comes within ten minutes may make it an alert.
type awaited struct {
	key     episodeKey
	session habit.SessionKey
	event   *process.Event
	due     time.Time
	counted bool // its episode has it
}

const (
	// awaitedFor is how long after a match what runs in its session is weighed.
	awaitedFor = 10 * time.Minute
	// maxAwaited bounds how many matches are awaited; the one that is due first is weighed early. An exec of several rules
	// may exceed it until the next one comes.
	maxAwaited = 64
	// maxAwaitedArgs is how much of its arguments an awaited match keeps, in bytes: more than an alert has room for.
	maxAwaitedArgs = 8 << 10
	// maxAwaitedBytes is how much memory an awaited match may keep for the next.
	maxAwaitedBytes = 16 << 10
)

// sessionOf is the session that an exec belongs to: its login session, else its user in its container.
func sessionOf(e *process.Event) (k habit.SessionKey) {
	k.Session = e.Session.ID
	if k.Session != process.Unset { // the kernel begins to count anew when it is started
		k.User = e.Session.User.ID
		return k
	}
	who := &e.User
	if e.Session.User.Known() && e.Session.Entry != process.EntryCron {
		who = &e.Session.User
	}
	k.User = who.ID
	if k.User == process.Unset {
		k.Name = who.Name
	}
	k.Container = e.Container.ID
	return k
}

// sessionsOf are those of a host, new ones where there are none. Where there are too many hosts, the one that was
// watched longest ago is forgotten.
func (d *Detector) sessionsOf(host string, now time.Time) *hostSessions {
	h := d.sessions[host]
	if h == nil {
		for len(d.sessions) >= d.o.MaxHosts {
			d.forgetSessions()
		}
		h = &hostSessions{Sessions: habit.NewSessions(contextOptions(d.o.HalfLife), &d.spare), used: now}
		d.sessions[host] = h
	}
	return h
}

func (d *Detector) forgetSessions() {
	delete(d.sessions, longestUnused(d.sessions, func(h *hostSessions) time.Time { return h.used }))
	d.evicted++
}

// Ran notes that the exec which Match saw last, of a rule or of none, ran in its session. It may be left out for a
// program that has run there in this minute. complete fills in whose session it is, where the event does not say so; it
// is called when a session begins.
func (d *Detector) Ran(e *process.Event, rules RuleSet, complete func(*process.Event)) {
	if d.o.Model != ModelContext || d.program == "" {
		return
	}
	d.turnTo(d.modelHost(e), e.Time)
	k := sessionOf(e)
	k.Name, k.Container = d.reader.Text(k.Name), d.reader.Text(k.Container) // e is used again
	d.watching.sessions.Ran(k, e.Time, d.reader.Program(d.program), rules == 0, func() (habit.Account, habit.Class) {
		said := e.Session
		complete(e)
		who, class := d.reader.Account(e)
		e.Session = said // a match is completed with more than that
		return who, class
	})
}

// company is what else ran in the session of a match before it.
func (d *Detector) company(e *process.Event, r *Rule) (habit.SessionKey, habit.Company) {
	k, s := sessionOf(e), d.watching.sessions
	c := s.Before(k, e.Time, r.Programs)
	if !c.Known() && k.Container != "" { // a source that knows containers of matches only
		inHost := k
		inHost.Container = ""
		if c = s.Before(inHost, e.Time, r.Programs); c.Known() {
			k = inHost
		}
	}
	return k, c
}

// await keeps a match until it is known what runs in its session after it. One of an actor's in a session is kept, the
// last: what comes after those before it comes before it.
func (d *Detector) await(m *match) {
	f, k := &m.finding, m.session
	switch {
	case f.Learning || m.decision.NoAlert || m.decision.NoLesson || m.malicious() || m.limited:
		return
	case !f.Context.Match.InCompany():
		return
	}
	k.Name, k.Container = d.reader.Text(k.Name), d.reader.Text(k.Container)
	var w *awaited
	i := slices.IndexFunc(d.awaited, func(w *awaited) bool { return w.key == m.key && w.session == k })
	switch last := len(d.idle) - 1; {
	case i >= 0:
		w = d.awaited[i]
		d.awaited = slices.Delete(d.awaited, i, i+1)
	case last >= 0:
		w, d.idle = d.idle[last], d.idle[:last]
	default:
		w = &awaited{event: &process.Event{}}
	}
	w.key, w.session, w.due = m.key, k, f.Time.Add(awaitedFor)
	w.counted = f.Episode.ID != "" && f.Held == ""
	w.keep(m.event)
	at, _ := slices.BinarySearchFunc(d.awaited, w, func(a, b *awaited) int {
		return cmp.Or(a.due.Compare(b.due), -1) // behind those of the same time
	})
	d.awaited = slices.Insert(d.awaited, at, w)
}

// keep copies an exec, without what of its arguments is too long.
func (w *awaited) keep(e *process.Event) {
	short := *e
	room := maxAwaitedArgs
	for i, a := range e.Args {
		if room -= len(a); room < 0 {
			short.Args, short.ArgsCount = e.Args[:i], max(e.ArgsCount, len(e.Args))
			break
		}
	}
	short.CommandLine = e.CommandLine[:min(len(e.CommandLine), maxAwaitedArgs)]
	w.event.Copy(&short)
}

// Due appends to out what becomes of matches whose ten minutes were over before an event of the same host, or for which
// there is no room. It is to be called before Ran and Judge.
func (d *Detector) Due(e *process.Event, out []Finding) []Finding {
	if len(d.awaited) == 0 { // as mostly
		return out
	}
	return d.dueBefore(e, out)
}

func (d *Detector) dueBefore(e *process.Event, out []Finding) []Finding {
	for len(d.awaited) >= maxAwaited {
		first := d.awaited[0]
		d.awaited = slices.Delete(d.awaited, 0, 1)
		out = d.reconsider(first, earlier(first.due, e.Time), out)
	}
	if len(d.awaited) == 0 || !d.awaited[0].due.Before(e.Time) {
		return out
	}
	host := d.hostOf(e)
	return d.take(func(w *awaited) (bool, time.Time) { return w.key.host == host && w.due.Before(e.Time), w.due }, out)
}

// Ended appends to out what becomes of the matches of a login session that has ended.
func (d *Detector) Ended(e *process.Event, out []Finding) []Finding {
	if e.Session.ID == process.Unset {
		return out
	}
	if len(d.awaited) > 0 {
		host := d.hostOf(e)
		out = d.take(func(w *awaited) (bool, time.Time) {
			return w.key.host == host && w.session.Session == e.Session.ID, earlier(w.due, e.Time)
		}, out)
	}
	if h := d.sessions[d.modelHost(e)]; h != nil {
		h.End(e.Session.ID)
	}
	return out
}

// dueUntil appends to out what becomes of the matches whose ten minutes are over by t.
func (d *Detector) dueUntil(t time.Time, out []Finding) []Finding {
	if len(d.awaited) == 0 || d.awaited[0].due.After(t) {
		return out
	}
	return d.take(func(w *awaited) (bool, time.Time) { return !w.due.After(t), w.due }, out)
}

// take reconsiders those awaited matches that which chooses, until the time that it says.
func (d *Detector) take(which func(*awaited) (bool, time.Time), out []Finding) []Finding {
	var over []*awaited
	var until []time.Time
	d.awaited = slices.DeleteFunc(d.awaited, func(w *awaited) bool {
		is, end := which(w)
		if is {
			over, until = append(over, w), append(until, end)
		}
		return is
	})
	for i, w := range over {
		out = d.reconsider(w, until[i], out)
	}
	return out
}

// reconsider judges an awaited match again, with what ran in its session after it until a time. Where that makes it an
// alert, or the alert on it a higher one, out has it.
func (d *Detector) reconsider(w *awaited, until time.Time, out []Finding) []Finding {
	i := slices.IndexFunc(d.rules, func(r *Rule) bool { return r.ID == w.key.rule })
	if i < 0 || d.o.Model != ModelContext {
		return out
	}
	d.turnTo(d.modelHost(w.event), w.event.Time)
	m := d.matchOf(i, w.event)
	f, s := &m.finding, d.watching.sessions
	m.again, m.habits = true, d.watching.hosts[i].model
	f.Context = &Context{Match: d.reader.Match(m.event, m.ran(), d.zone(m.event))}
	f.Context.Match.Beside(s.After(w.session, w.event.Time, until, m.finding.Rule.Programs))
	if !f.Context.Match.InCompany() || !m.habits.Visiting(&f.Context.Match) {
		d.leave(w)
		return out
	}
	f.Context.Result = m.habits.Judge(&f.Context.Match)
	f.Score, f.After, f.counted = cents(f.Context.Score), until, w.counted
	f.Visit = visitOf(m.key, f.Context)
	f.Visit.Matches--
	before := len(out)
	alert := ""
	if f.Score >= f.Threshold {
		if alert, out = d.raise(&m, out); alert != "" {
			s.Discard(w.session)
		}
	}
	m.habits.Extend(&f.Context.Match, f.Context.Result, alert)
	if len(out) == before {
		d.leave(w)
	}
	return out
}

// raise places a match that was judged again and is over the threshold. It returns the alert under which the model has
// learned it; empty: it raises none.
func (d *Detector) raise(m *match, out []Finding) (string, []Finding) {
	f := &m.finding
	d.decide(m)
	d.recall(m)
	if m.held || m.decision.NoAlert || m.malicious() || d.excused(m) != nil {
		return "", out
	}
	key, _ := d.groupOf(m)
	if f.band() <= d.standing(m, d.episodes[key]).band {
		return "", out
	}
	out = d.placeOver(m, out)
	if f.Kind != Alert {
		return "", out
	}
	f.Exec = m.event
	out = append(out, *f)
	if m.completes {
		story := d.correlated(m)
		story.Exec = m.event
		out = append(out, story)
	}
	return d.under(m), out
}

// leave keeps the memory of an awaited match for the next.
func (d *Detector) leave(w *awaited) {
	w.event.Shrink(maxAwaitedBytes)
	d.idle = append(d.idle, w)
}
