// SPDX-License-Identifier: Apache-2.0

package auditd

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/health"
	"github.com/reconbeat/reconbeat/module/auditd/record"
	"github.com/reconbeat/reconbeat/process"
)

// grace is for how long a look's finding waits for the record that says who did it: an event without an end is complete after two seconds.
const grace = 4 * time.Second

// maxActs bounds the changes that wait to be judged.
const maxActs = 1024

// tampering is found from two sides: looks tell what keeps execs from us, records tell who did what. The reader hands acts to the watch, and the watch hands
// what is to be told back to the reader, who alone emits.
type tampering struct {
	mu     sync.Mutex
	acts   []act            // complete, and not judged yet
	out    []*process.Event // judged, and not emitted yet
	filled atomic.Bool      // out is not empty

	// The watch's own.
	accepted map[string]bool      // findings that were there when we began: nobody's news
	holds    map[string]*finding  // the other ones of the last look
	open     []*finding           // those that no record has explained yet
	episode  []*finding           // all since execs were reported last
	listed   map[string]time.Time // the rules of the last looks, by ruleID, and when they were seen last
	well     time.Time            // the last look at which execs were reported
	over     time.Time            // when they were again; zero: they are not, or there is nothing to tell
	told     time.Time            // when something was told last
}

// act is one change that somebody made.
type act struct {
	who    *process.Event
	change record.Change
}

// finding is one thing that keeps execs from us.
type finding struct {
	id   string
	rule string    // of a rule: its ruleID
	text string    // what was done, in words that follow the name of who did it
	from time.Time // when it was done, at the earliest
	at   time.Time // when a look found it
	told bool
	// silent: no record tells of changes while it holds.
	silent bool
}

// The ids of findings that are no rules.
const (
	foundOff     = "off"
	foundRate    = "rate"
	foundBacklog = "backlog"
	foundDeleted = "deleted"
)

// ruleID is what a record tells of a rule.
func ruleID(list uint32, key string) string { return fmt.Sprintf("%d %s", list, key) }

// findings says what keeps execs from us in a situation.
func (r *run) findings(s situation) (out []*finding) {
	if s.status.Enabled == 0 {
		out = append(out, &finding{id: foundOff, text: "switched the kernel's audit off"})
	}
	if n := s.status.RateLimit; record.Starves(n) {
		out = append(out, &finding{id: foundRate, text: "limited audit to " + record.Records(n) + " a second"})
	}
	if n := s.status.BacklogLimit; record.Starves(n) {
		out = append(out, &finding{id: foundBacklog, text: "limited audit's backlog to " + record.Records(n)})
	}
	if len(abis(goarch)) > 0 && r.deleted(s) {
		out = append(out, &finding{id: foundDeleted, text: "deleted the audit rules that report program starts"})
	}
	for _, l := range hiding(s.rules) {
		out = append(out, &finding{
			id: "rule " + string(l.wire), rule: ruleID(l.list, l.key()),
			text:   fmt.Sprintf("added an audit rule that hides program starts or who changes audit: `%s`", l),
			silent: l.drops(unix.AUDIT_CONFIG_CHANGE),
		})
	}
	return out
}

// accept takes what is there when we begin as nobody's news: the plan has told of it.
func (r *run) accept(s situation, now time.Time) {
	t := &r.tampering
	if t.accepted != nil {
		return // another socket, in the same run
	}
	t.accepted, t.holds, t.listed, t.well = map[string]bool{}, map[string]*finding{}, map[string]time.Time{}, now
	for _, f := range r.findings(s) {
		t.accepted[f.id] = true
	}
}

// changed takes what records say of changes, but for our own. It is the assembler's Options.Changed.
func (r *run) changed(who *process.Event, changes []record.Change) error {
	if who.PID == uint32(os.Getpid()) {
		return nil
	}
	t := &r.tampering
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range changes {
		ours := who.PID == 0 && c.Operation == record.AddRule && c.Key == Key
		if !ours && len(t.acts) < maxActs {
			t.acts = append(t.acts, act{record.Told(who, &c, c.Text()), c})
		}
	}
	r.lookSoon()
	return nil
}

// send has the reader emit an event.
func (t *tampering) send(e *process.Event) {
	t.mu.Lock()
	t.out = append(t.out, e)
	t.mu.Unlock()
	t.filled.Store(true)
}

// hand emits what was sent.
func (t *tampering) hand(emit func(*process.Event) error) error {
	if !t.filled.Swap(false) {
		return nil
	}
	t.mu.Lock()
	out := t.out
	t.out = nil
	t.mu.Unlock()
	for _, e := range out {
		if err := emit(e); err != nil {
			return err
		}
	}
	return nil
}

// take returns the acts that wait to be judged. A look comes after it: what somebody did is to be seen by then.
func (t *tampering) take() []act {
	t.mu.Lock()
	defer t.mu.Unlock()
	acts := t.acts
	t.acts = nil
	return acts
}

// putBack has acts judged later.
func (t *tampering) putBack(acts []act) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.acts = append(acts, t.acts...)
}

// judge holds what a look found against what records told before it. last: no record will tell more.
func (r *run) judge(s situation, acts []act, now time.Time, last bool) {
	t := &r.tampering
	there := map[string]bool{}
	for _, f := range r.findings(s) {
		there[f.id] = true
		if t.accepted[f.id] || t.holds[f.id] != nil {
			continue
		}
		f.from, f.at = t.well, now
		t.holds[f.id] = f
		t.open, t.episode = append(t.open, f), append(t.episode, f)
	}
	for id := range t.holds {
		if !there[id] {
			delete(t.holds, id)
		}
	}
	for id := range t.accepted {
		if !there[id] {
			delete(t.accepted, id)
		}
	}
	for _, l := range s.rules {
		t.listed[ruleID(l.list, l.key())] = now
	}
	maps.DeleteFunc(t.listed, func(_ string, seen time.Time) bool { return now.Sub(seen) > 2*grace })
	r.condition(now)
	var harmless []act
	for _, a := range acts {
		if !r.explain(a, now) {
			harmless = append(harmless, a)
		}
	}
	r.log(harmless)
	for _, f := range t.holds {
		last = last || f.silent
	}
	t.open = slices.DeleteFunc(t.open, func(f *finding) bool {
		if !last && now.Sub(f.at) < grace {
			return false
		}
		if f.id != foundDeleted || now.Sub(t.told) > grace { // with audit off, no record tells of rules
			e := &process.Event{}
			e.Reset()
			e.Time = f.at
			r.tell(e, &record.Change{}, f, now)
		}
		return true
	})
	r.restored(now)
}

// condition sets the condition while something holds. That the rules were deleted is rules_missing, until it turns out to be tampering.
func (r *run) condition(now time.Time) {
	var texts []string
	for _, f := range r.tampering.holds {
		if f.id != foundDeleted || f.told {
			texts = append(texts, "somebody "+f.text)
		}
	}
	if len(texts) > 0 {
		slices.Sort(texts)
		r.env.Health.Set(health.AuditTampered, r.env.ID, strings.Join(texts, "; "), now)
	}
}

// explain judges one act by what looks found; false: it is harmless.
func (r *run) explain(a act, now time.Time) bool {
	t, c := &r.tampering, &a.change
	if c.Failed {
		return false
	}
	if i := slices.IndexFunc(t.open, func(f *finding) bool { return r.causes(c, f) }); i >= 0 {
		f := t.open[i]
		t.open = slices.Delete(t.open, i, i+1)
		f.from = a.who.Time
		if f.id == foundDeleted && record.IsReload(a.who) {
			t.episode = slices.DeleteFunc(t.episode, func(o *finding) bool { return o == f })
			return false
		}
		r.tell(a.who, c, f, now)
		return true
	}
	switch {
	case c.Operation == record.SetLogin:
		if record.IsLogin(a.who, true) {
			return false
		}
		t.send(record.Told(a.who, c, c.Text()))
		return true
	case c.Blinds():
		f := &finding{id: c.Setting, text: c.Text(), from: a.who.Time, at: now}
		if c.Setting == record.Enabled || c.Setting == record.RateLimit || c.Setting == record.BacklogLimit {
			t.episode = append(t.episode, f) // taken back before a look saw it
		}
		r.tell(a.who, c, f, now)
		return true
	case c.Operation == record.AddRule && (c.List == record.ListTask || c.List == record.ListExit || c.List == record.ListExclude):
		if _, seen := t.listed[ruleID(c.List, c.Key)]; seen {
			return false
		}
		f := &finding{id: "rule", text: c.Text() + ", which was deleted again before it could be looked at", from: a.who.Time, at: now}
		t.episode = append(t.episode, f)
		r.tell(a.who, c, f, now)
		return true
	}
	return false
}

// causes says whether a change is what a finding is about.
func (r *run) causes(c *record.Change, f *finding) bool {
	switch c.Operation {
	case record.AddRule:
		return f.rule == ruleID(c.List, c.Key)
	case record.DeleteRule:
		return f.id == foundDeleted && c.List == record.ListExit && (c.Key == Key || !r.plan.addRules)
	case record.SetSetting:
		switch c.Setting {
		case record.Enabled:
			return f.id == foundOff && c.New == 0
		case record.RateLimit:
			return f.id == foundRate
		case record.BacklogLimit:
			return f.id == foundBacklog
		}
	}
	return false
}

// tell tells of a finding as tampering.
func (r *run) tell(who *process.Event, c *record.Change, f *finding, now time.Time) {
	f.told, r.tampering.told = true, now
	r.env.Health.Set(health.AuditTampered, r.env.ID, record.By(who)+" "+f.text, now)
	r.tampering.send(record.Told(who, c, f.text))
}

// restored ends the condition once execs are reported as before, and tells for how long they were not once it is known who did it.
func (r *run) restored(now time.Time) {
	t := &r.tampering
	if len(t.holds) > 0 {
		t.over = time.Time{}
		return
	}
	t.well = now
	if t.over.IsZero() {
		t.over = now
	}
	r.env.Health.Clear(health.AuditTampered, r.env.ID)
	if len(t.open) > 0 {
		return
	}
	if slices.ContainsFunc(t.episode, func(f *finding) bool { return f.told }) {
		first := slices.MinFunc(t.episode, func(a, b *finding) int { return cmp.Compare(a.from.UnixNano(), b.from.UnixNano()) })
		t.send(record.Restored("", first.from, t.over))
	}
	t.episode, t.over = nil, time.Time{}
}

// log tells of changes that hide nothing: one line each, or one for many.
func (r *run) log(acts []act) {
	const most = 5
	for _, a := range acts[:min(len(acts), most)] {
		r.env.Logger.Infof("%s %s; no program start is hidden by it: %s", record.By(a.who), a.change.Text(), a.change.Record)
	}
	if more := len(acts) - most; more > 0 {
		r.env.Logger.Infof("%d more such changes, the last one: %s %s", more, record.By(acts[len(acts)-1].who), acts[len(acts)-1].change.Text())
	}
}

// lastJudgement judges what is left when the module ends, and emits it.
func (r *run) lastJudgement() error {
	if !r.plan.blind {
		acts := r.tampering.take()
		if s := look(r.control, nil); s.denied == nil {
			r.judge(s, acts, time.Now(), true)
		}
	}
	return r.tampering.hand(r.emit)
}

// takeover is the event that another daemon has taken the audit pid that was ours. The record of it went to that daemon.
func takeover(s situation, now time.Time) *process.Event {
	who := &process.Event{}
	who.Reset()
	who.Time, who.PID, who.Name = now, s.status.PID, s.owner
	who.Executable, _ = os.Readlink(fmt.Sprintf("/proc/%d/exe", s.status.PID))
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/loginuid", s.status.PID)); err == nil {
		if id, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32); err == nil {
			who.Session.User.ID = uint32(id)
		}
	}
	return record.Told(who, &record.Change{}, "took the audit pid, which was reconbeat's")
}
