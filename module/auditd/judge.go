// SPDX-License-Identifier: Apache-2.0

package auditd

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/auditd/record"
	"github.com/reconbeat/reconbeat/process"
)

// grace is for how long a finding waits for the record that says who did it: an event without an end is complete after
// two seconds.
const grace = 4 * time.Second

// judge decides what is tampering, from two sides: inspections find what keeps execs from us, records say who did what.
// It outlives a change of the socket.
type judge struct {
	env  module.Env
	send func(*process.Event)

	accepted map[string]bool      // findings that were there when we began: nobody's news
	holds    map[string]*finding  // the other ones of the last inspection
	open     []*finding           // those that no record has explained yet
	episode  []*finding           // all since execs were reported last
	listed   map[string]time.Time // the rules of the last inspections, by ruleID, and when they were seen last
	well     time.Time            // the last inspection at which execs were reported
	over     time.Time            // when they were again; zero: they are not, or there is nothing to report
	reported time.Time            // when something was reported last
}

// newJudge makes a judge that knows what was found when we began.
func newJudge(env module.Env, send func(*process.Event), found []*finding, now time.Time) *judge {
	j := &judge{
		env: env, send: send, well: now,
		accepted: map[string]bool{}, holds: map[string]*finding{}, listed: map[string]time.Time{},
	}
	for _, f := range found {
		j.accepted[f.id] = true
	}
	return j
}

// finding is one thing that keeps execs from us.
type finding struct {
	id   string
	rule string    // of a rule: its ruleID
	text string    // what was done, in words that follow the name of who did it
	from time.Time // when it was done, at the earliest
	at   time.Time // when it was found

	reported bool // as tampering
	silent   bool // no record says what is changed while it holds
	ours     bool // of foundDeleted: the rules are ours
}

// The ids of findings that are not rules.
const (
	foundOff     = "off"
	foundRate    = "rate"
	foundBacklog = "backlog"
	foundDeleted = "deleted"
)

// ruleID is what a record says of a rule.
func ruleID(list uint32, key string) string { return fmt.Sprintf("%d %s", list, key) }

// findings says what keeps execs from us in a situation.
func (s *setup) findings(now situation) (out []*finding) {
	if now.status.Enabled == 0 {
		out = append(out, &finding{id: foundOff, text: "switched the kernel's audit off"})
	}
	if n := now.status.RateLimit; record.Starves(n) {
		out = append(out, &finding{id: foundRate, text: "limited audit to " + plural.Of(n, "record") + " a second"})
	}
	if n := now.status.BacklogLimit; record.Starves(n) {
		out = append(out, &finding{id: foundBacklog, text: "limited audit's backlog to " + plural.Of(n, "record")})
	}
	if len(record.ABIs(goarch)) > 0 && s.deleted(now) {
		out = append(out, &finding{
			id: foundDeleted, text: "deleted the audit rules that report program starts", ours: s.plan.addRules,
		})
	}
	for _, l := range hiding(now.rules) {
		out = append(out, &finding{
			id: "rule " + string(l.wire), rule: ruleID(l.list, l.key()),
			text:   fmt.Sprintf("added an audit rule that hides program starts or who changes audit: `%s`", l),
			silent: l.drops(unix.AUDIT_CONFIG_CHANGE),
		})
	}
	return out
}

// weigh holds what was found in an inspection, and the rules at that time, against what records said before it. last:
// no record will say more.
func (j *judge) weigh(found []*finding, rules []loadedRule, acts []act, now time.Time, last bool) {
	there := map[string]bool{}
	for _, f := range found {
		there[f.id] = true
		if j.accepted[f.id] || j.holds[f.id] != nil {
			continue
		}
		f.from, f.at = j.well, now
		j.holds[f.id] = f
		j.open, j.episode = append(j.open, f), append(j.episode, f)
	}
	for id := range j.holds {
		if !there[id] {
			delete(j.holds, id)
		}
	}
	for id := range j.accepted {
		if !there[id] {
			delete(j.accepted, id)
		}
	}
	for _, l := range rules {
		j.listed[ruleID(l.list, l.key())] = now
	}
	maps.DeleteFunc(j.listed, func(_ string, seen time.Time) bool { return now.Sub(seen) > 2*grace })
	j.condition(now)
	var harmless []act
	for _, a := range acts {
		if !j.explain(a, now) {
			harmless = append(harmless, a)
		}
	}
	j.log(harmless)
	for _, f := range j.holds {
		last = last || f.silent
	}
	j.open = slices.DeleteFunc(j.open, func(f *finding) bool {
		if !last && now.Sub(f.at) < grace {
			return false
		}
		if f.id != foundDeleted || now.Sub(j.reported) > grace { // with audit off, no record says what becomes of rules
			e := &process.Event{}
			e.Reset()
			e.Time = f.at
			j.report(e, &record.Change{}, f, now)
		}
		return true
	})
	j.restored(now)
}

// condition sets the condition while something holds. That the rules were deleted is rules_missing, until it turns out
// to be tampering.
func (j *judge) condition(now time.Time) {
	var texts []string
	for _, f := range j.holds {
		if f.id != foundDeleted || f.reported {
			texts = append(texts, "somebody "+f.text)
		}
	}
	if len(texts) > 0 {
		slices.Sort(texts)
		j.env.Health.Set(health.AuditTampered, j.env.ID, strings.Join(texts, "; "), now)
	}
}

// explain judges one act by what was found; false: it is harmless.
func (j *judge) explain(a act, now time.Time) bool {
	c := &a.change
	if c.Failed {
		return false
	}
	if i := slices.IndexFunc(j.open, func(f *finding) bool { return causes(c, f) }); i >= 0 {
		f := j.open[i]
		j.open = slices.Delete(j.open, i, i+1)
		f.from = a.who.Time
		if f.id == foundDeleted && record.IsReload(a.who) {
			j.episode = slices.DeleteFunc(j.episode, func(o *finding) bool { return o == f })
			return false
		}
		j.report(a.who, c, f, now)
		return true
	}
	switch {
	case c.Operation == record.SetLogin:
		if record.IsLogin(a.who, true) {
			return false
		}
		j.send(record.Tampered(a.who, c, c.Text()))
		return true
	case c.Blinds():
		f := &finding{id: c.Setting, text: c.Text(), from: a.who.Time, at: now}
		if c.Setting == record.Enabled || c.Setting == record.RateLimit || c.Setting == record.BacklogLimit {
			j.episode = append(j.episode, f) // taken back before an inspection
		}
		j.report(a.who, c, f, now)
		return true
	case c.Operation == record.AddRule && mayHide(c.List):
		if _, seen := j.listed[ruleID(c.List, c.Key)]; seen {
			return false
		}
		text := c.Text() + ", which was deleted again before it could be read"
		f := &finding{id: "rule", text: text, from: a.who.Time, at: now}
		j.episode = append(j.episode, f)
		j.report(a.who, c, f, now)
		return true
	}
	return false
}

// mayHide says whether a list has rules that keep execs from us.
func mayHide(list uint32) bool {
	return list == unix.AUDIT_FILTER_TASK || list == unix.AUDIT_FILTER_EXIT || list == unix.AUDIT_FILTER_EXCLUDE
}

// causes says whether a change is what a finding is about.
func causes(c *record.Change, f *finding) bool {
	switch c.Operation {
	case record.AddRule:
		return f.rule == ruleID(c.List, c.Key)
	case record.DeleteRule:
		return f.id == foundDeleted && c.List == unix.AUDIT_FILTER_EXIT && (c.Key == Key || !f.ours)
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

// report reports a finding as tampering.
func (j *judge) report(who *process.Event, c *record.Change, f *finding, now time.Time) {
	f.reported, j.reported = true, now
	j.env.Health.Set(health.AuditTampered, j.env.ID, record.By(who)+" "+f.text, now)
	j.send(record.Tampered(who, c, f.text))
}

// restored ends the condition once execs are reported as before, and reports for how long they were not once it is
// known who did it.
func (j *judge) restored(now time.Time) {
	if len(j.holds) > 0 {
		j.over = time.Time{}
		return
	}
	j.well = now
	if j.over.IsZero() {
		j.over = now
	}
	j.env.Health.Clear(health.AuditTampered, j.env.ID)
	if len(j.open) > 0 {
		return
	}
	if slices.ContainsFunc(j.episode, func(f *finding) bool { return f.reported }) {
		first := slices.MinFunc(j.episode, func(a, b *finding) int { return a.from.Compare(b.from) })
		j.send(record.Restored("", first.from, j.over))
	}
	j.episode, j.over = nil, time.Time{}
}

// log logs changes that hide nothing: one line each, or one for many.
func (j *judge) log(acts []act) {
	const most = 5
	for _, a := range acts[:min(len(acts), most)] {
		j.env.Logger.Infof(
			"%s %s; no program start is hidden by it: %s",
			record.By(a.who),
			a.change.Text(),
			a.change.Record,
		)
	}
	if more := len(acts) - most; more > 0 {
		last := acts[len(acts)-1]
		j.env.Logger.Infof("%d more such changes, the last one: %s %s", more, record.By(last.who), last.change.Text())
	}
}

// takeover is the event that another daemon has taken the audit pid that was ours. The record of it went to that
// daemon.
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
	return record.Tampered(who, &record.Change{}, "took the audit pid, which was reconbeat's")
}
