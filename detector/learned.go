// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/reconbeat/reconbeat/detector/habit"
	"github.com/reconbeat/reconbeat/detector/rare"
	"github.com/reconbeat/reconbeat/process"
)

// learned is what one rule has learned: rare's counts over the whole stream, because Elastic's job has them so, and
// each host's contexts.
type learned struct {
	rare  *rare.Model
	hosts map[string]*hostContexts
	// forgotten is how many hosts' contexts made room for others'
	forgotten uint64
	// open are the hosts on which a visit may be open: of many hosts few are visited at a time.
	open []*hostContexts
	// wake is before the next host becomes old enough to alert; zero: that is not known.
	wake time.Time
}

type hostContexts struct {
	model    *habit.Model
	used     time.Time
	reported bool // there was a Learned finding on what it knew when it became old enough to alert
	open     bool // it is in learned.open
}

const (
	// DefaultMaxHosts is how many hosts' contexts a rule remembers.
	DefaultMaxHosts = 256
	// maxActors bounds how many actors of one host a rule's context model remembers.
	maxActors = 1000
)

// contextOptions are those of every host's model. A visit has the length that an episode has by default; it stays so
// when a user changes the episode's, because the model's constants were chosen for it.
func contextOptions(halfLife time.Duration) habit.Options {
	return habit.Options{Idle: 15 * time.Minute, Longest: 24 * time.Hour, MaxActors: maxActors, HalfLife: halfLife}
}

func newLearned(m *rare.Model) *learned { return &learned{rare: m, hosts: map[string]*hostContexts{}} }

// host returns the contexts of a host, new ones where there are none. Where there are too many hosts, the one that was
// watched longest ago is forgotten.
func (l *learned) host(host string, now time.Time, o *Options) *hostContexts {
	h := l.hosts[host]
	if h == nil {
		for len(l.hosts) >= o.MaxHosts {
			l.forgetHost()
		}
		h = &hostContexts{model: habit.New(contextOptions(o.HalfLife)), used: now}
		l.hosts[host], l.wake = h, time.Time{}
	}
	return h
}

// opened notes that a visit of a host may be open.
func (l *learned) opened(h *hostContexts) {
	if !h.open {
		h.open = true
		l.open = append(l.open, h)
	}
}

// closeUntil closes the visits that end until t.
func (l *learned) closeUntil(t time.Time) {
	l.open = slices.DeleteFunc(l.open, func(h *hostContexts) bool {
		h.model.CloseUntil(t)
		h.open = h.model.Visited()
		return !h.open
	})
}

func (l *learned) forgetHost() {
	delete(l.hosts, longestUnused(l.hosts, func(h *hostContexts) time.Time { return h.used }))
	l.forgotten++
}

// longestUnused is the name of the host that was not judged for longest, of hosts of whom there are some.
func longestUnused[H any](hosts map[string]H, used func(H) time.Time) string {
	var longest string // which is a name, too: that of this host
	var since time.Time
	found := false
	for name, h := range hosts {
		if at := used(h); !found || cmp.Or(at.Compare(since), cmp.Compare(name, longest)) < 0 {
			longest, since, found = name, at, true
		}
	}
	return longest
}

// suspect reports whether all that the hosts' models know of a user, a name or an id, raised alerts and has become no
// habit.
func (l *learned) suspect(user string) bool {
	seen := false
	for _, h := range l.hosts {
		known, usual := h.model.Usual(user)
		if usual {
			return false
		}
		seen = seen || known
	}
	return seen
}

// watching are the contexts of the host that was watched last, by rule: the next event is nearly always that host's.
type watching struct {
	host     string
	hosts    []*hostContexts
	sessions *hostSessions
}

// Watch notes that the host of an event is watched at the event's time, whether or not a rule is about it: a model's
// age is watched time. It allocates nothing for a host that is known.
func (d *Detector) Watch(e *process.Event) {
	if d.o.Model == ModelContext {
		d.watch(d.modelHost(e), e.Time)
	}
}

func (d *Detector) watch(host string, t time.Time) {
	d.turnTo(host, t)
	d.watching.sessions.used = t
	for _, h := range d.watching.hosts {
		h.used = t
		h.model.Watch(t)
	}
}

// turnTo makes a host the one whose contexts are at hand, as it mostly is. It says nothing of its time.
func (d *Detector) turnTo(host string, t time.Time) {
	if d.watching.hosts == nil || d.watching.host != host {
		d.turn(host, t)
	}
}

func (d *Detector) turn(host string, t time.Time) {
	d.watching = watching{host: strings.Clone(host)}
	for _, l := range d.models {
		d.watching.hosts = append(d.watching.hosts, l.host(d.watching.host, t, &d.o))
	}
	d.watching.sessions = d.sessionsOf(d.watching.host, t)
}

// Stop notes that nothing is watched from the last event on until the next, while reconbeat does not run.
func (d *Detector) Stop() {
	for _, l := range d.kept {
		for _, h := range l.hosts {
			h.model.Stop()
		}
	}
	for _, h := range d.sessions {
		h.Stop()
	}
}

// reportLearned reports what each model that has become old enough to alert knows: whoever came until then has become
// usual without an alert.
func (d *Detector) reportLearned(t time.Time, out []Finding) []Finding {
	for i, l := range d.models {
		if t.Before(l.wake) {
			continue
		}
		first := len(out)
		l.wake = t.Add(d.o.LearnFor) // watched time goes no faster than the clock
		for host, h := range l.hosts {
			if h.reported {
				continue
			}
			if missing := d.o.LearnFor - h.model.Age(t); missing > 0 {
				l.wake = earlier(l.wake, t.Add(missing))
				continue
			}
			h.reported = true
			if actors := h.model.Profiles("", t); len(actors) > 0 {
				out = append(out, Finding{
					Kind: Learned, Rule: d.rules[i], Time: t, Threshold: d.rules[i].Threshold,
					Report: Report{Host: host, Days: h.model.Age(t).Hours() / 24, Actors: actors},
				})
			}
		}
		slices.SortFunc(out[first:], func(a, b Finding) int { return strings.Compare(a.Report.Host, b.Report.Host) })
	}
	return out
}
