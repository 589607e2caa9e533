// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"cmp"
	"slices"
	"time"

	"github.com/reconbeat/reconbeat/ecs"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/process"
)

// parents finds the execs of the ancestors that documents do not describe, and hands them on before the event that
// needs them. auditd's documents have the parent's pid alone; nobody's say who stands behind a wrapper such as sudo.
//
// It asks for a generation of all events of a page at once, and remembers the answers for a while.
type parents struct {
	client  *client
	within  time.Duration // how far back is asked; 0: not at all
	stats   *module.Stats
	decoder *ecs.Decoder

	known map[person]*past
	order uint64 // events handed on
}

// person is a process of a host.
type person struct {
	host string
	pid  uint32
}

// past is what ran in a process over a time.
type past struct {
	from, until time.Time // of the events for which it was asked
	execs       []*exec   // the newest first
}

// exec is a program that started in a process.
type exec struct {
	process.Event
	given uint64 // parents.order when it was last handed on; 0: not yet
}

const (
	// generations bounds how far up is asked.
	generations = 16
	// trustedFor is for how long, by the events' own time, an answer holds: a pid may become another process's.
	trustedFor = 10 * time.Minute
	// rememberedMost is how many processes are remembered from one page to the next.
	rememberedMost = 4096
	// givenAgain is after how many events an exec is handed on again, lest the table of processes forgets it.
	givenAgain = 8192
	// askedAtOnce is how many processes one request asks for.
	askedAtOnce = 500
)

// at is what ran in the process when another one started from it; nil: that is unknown.
func (p *past) at(t time.Time) *exec {
	for _, e := range p.execs {
		if !e.Time.After(t.Add(disorder)) {
			return e
		}
	}
	return nil
}

// covers reports whether the answer holds for an event of a time.
func (p *past) covers(t time.Time) bool {
	return !t.Before(p.from) && !t.After(p.until.Add(trustedFor))
}

// find asks for the ancestors that events need. narrowed says that not every exec is read anyway.
func (p *parents) find(events []process.Event, narrowed bool) error {
	if p.within == 0 || !narrowed {
		return nil
	}
	if p.known == nil || len(p.known) > rememberedMost {
		p.known = map[person]*past{}
	}
	for range generations {
		var who []person
		hosts := map[string]process.Host{}
		asked := map[person]*past{}
		for i := range events {
			e := &events[i]
			if e.Kind != process.Exec {
				continue
			}
			next, ok := p.unknown(e)
			if !ok {
				continue
			}
			if a := asked[next]; a != nil {
				a.from, a.until = earlier(a.from, e.Time), later(a.until, e.Time)
				continue
			}
			asked[next] = &past{from: e.Time, until: e.Time}
			hosts[next.host] = e.Host
			who = append(who, next)
		}
		for len(who) > 0 {
			n := min(len(who), askedAtOnce)
			if err := p.ask(who[:n], hosts, asked); err != nil {
				return err
			}
			who = who[n:]
		}
		if len(asked) == 0 {
			return nil
		}
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// ask asks what ran in processes, by one request; by two, each for one half, where that brings more than fits into an
// answer.
func (p *parents) ask(who []person, hosts map[string]process.Host, asked map[person]*past) error {
	from, until := asked[who[0]].from, asked[who[0]].until
	pids := map[string][]uint32{}
	for _, w := range who {
		from, until = earlier(from, asked[w].from), later(until, asked[w].until)
		pids[w.host] = append(pids[w.host], w.pid)
	}
	var each []any
	for host, list := range pids {
		each = append(each, all(ofHost(hosts[host]), object{"terms": object{"process.pid": list}}))
	}
	hits, err := p.client.search(search(mostPage, sorted(timestamp, "desc"), append(wanted(nil), anyOf(each...),
		between(timestamp, from.Add(-p.within).UnixMilli(), until.Add(disorder).UnixMilli()+1))))
	if err != nil {
		return err
	}
	if len(hits) == mostPage && len(who) > 1 {
		if err := p.ask(who[:len(who)/2], hosts, asked); err != nil {
			return err
		}
		return p.ask(who[len(who)/2:], hosts, asked)
	}
	p.stats.Asked.Add(uint64(len(who)))
	for _, w := range who {
		p.known[w] = asked[w]
	}
	for i := range hits {
		var e exec
		if err := p.decoder.Decode(hits[i].Source, &e.Event); err != nil || e.Kind != process.Exec || !e.Success {
			continue
		}
		if a := asked[person{e.Host.Key(), e.PID}]; a != nil {
			e.Source = cmp.Or(e.Source, "elasticsearch")
			e.Earlier = true
			a.execs = append(a.execs, &e)
		}
	}
	return nil
}

// unknown is the first of an event's ancestors that it needs and that was not asked for.
func (p *parents) unknown(e *process.Event) (who person, ok bool) {
	p.line(e, func(next person, a *past) bool {
		if a == nil {
			who, ok = next, true
		}
		return a != nil
	})
	return who, ok
}

// line goes up from an event through the ancestors that it needs. Of the last one nothing may be known.
func (p *parents) line(e *process.Event, each func(person, *past) bool) {
	host := e.Host.Key()
	pid := cmp.Or(e.PPID, e.Parent.PID)
	whole := e.Session.Entry == "" && !e.Entry.Known() // the way in is found by all ancestors
	if host == "" || e.Parent.Name != "" && !whole && !process.IsWrapper(e.Parent.Name) {
		return
	}
	for range generations {
		if pid <= 1 || pid == e.PID {
			return
		}
		next := person{host, pid}
		a := p.known[next]
		if a != nil && !a.covers(e.Time) {
			a = nil
		}
		if !each(next, a) || a == nil {
			return
		}
		ran := a.at(e.Time)
		if ran == nil || !whole && !process.IsWrapper(ran.Name) {
			return
		}
		pid = cmp.Or(ran.PPID, ran.Parent.PID)
	}
}

// before hands on the ancestors of an event, the oldest first.
func (p *parents) before(e *process.Event, emit func(*process.Event) error) error {
	if p.within == 0 || e.Kind != process.Exec {
		return nil
	}
	p.order++
	var line []*exec
	p.line(e, func(_ person, a *past) bool {
		if a == nil {
			return false
		}
		if ran := a.at(e.Time); ran != nil && (ran.given == 0 || p.order-ran.given > givenAgain) {
			line = append(line, ran)
		}
		return true
	})
	for _, ran := range slices.Backward(line) {
		ran.given = p.order
		if err := emit(&ran.Event); err != nil {
			return err
		}
	}
	return nil
}
