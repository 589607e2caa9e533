// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reconbeat/reconbeat/detector/context"
	"github.com/reconbeat/reconbeat/detector/rare"
	"github.com/reconbeat/reconbeat/process"
)

// The ways to say who the actor is.
const (
	ActorLogin = "login" // the login user, where somebody logged in; else the real user
	ActorUser  = "user"  // always the real user
)

// The models that may be in charge: whose score is held against the thresholds.
const (
	ModelRare    = "rare"    // Elastic's rare by user.name, at once
	ModelContext = "context" // who does it, and in which context
)

// Options are what a Detector is made of.
type Options struct {
	Rules       []Rule // the disabled ones are passed over; at most 64 enabled
	HostID      string // of events that bring no host of their own
	OneHost     bool   // all events are this host's, whatever they say
	Actor       string // ActorLogin or ActorUser; empty: ActorLogin
	EpisodeIdle time.Duration
	EpisodeMax  time.Duration
	Rare        rare.Options
	Model       string         // ModelRare or ModelContext; empty: ModelRare. Rare is computed in any case, context only when it is in charge
	LearnFor    time.Duration  // how old a context model must be before it may alert
	HalfLife    time.Duration  // of what the context model has learned; 0: 30 days
	Habit       Habit          // when an actor is no longer on probation; zero: 5 days over 14
	Zone        *time.Location // of this host's day; nil: UTC
	OtherZone   *time.Location // of other hosts' days, whose events documents bring; nil: UTC
	// OnRecord receives each record of the rare model at its bucket's end; nil: nobody wants them.
	OnRecord func(*Rule, rare.Record)
}

// Decision is what is to become of a match over the threshold, and of its learning.
type Decision struct {
	Alert bool
	Learn bool
	By    string // who decided, for the record: an exception's or a window's name
}

// Detector holds the rules, what each has learned, and the episodes that are open.
type Detector struct {
	o        Options
	rules    []*Rule
	models   []*learned // of rules, by index
	programs map[string]RuleSet
	cut      map[string]RuleSet  // by the first commLength bytes of longer names
	kept     map[string]*learned // by rule id, of disabled and unknown rules too: a change of rules resets nothing
	episodes map[episodeKey]*episode
	// probations are the contexts that actors were alerted for and that are no habit yet.
	probations map[episodeKey][]*probation
	clock      time.Time // the last Advance

	watching watching
	reader   context.Reader
	zones    zones
	records  []rare.Record // reused
	evicted  uint64
	unnamed  uint64
}

// New makes a Detector that has learned nothing. The error tells everything that is wrong with the options.
func New(o Options) (*Detector, error) {
	d := &Detector{kept: map[string]*learned{}, episodes: map[episodeKey]*episode{}, probations: map[episodeKey][]*probation{}}
	if err := d.Configure(o); err != nil {
		return nil, err
	}
	return d, nil
}

// Configure changes rules and options; what was learned stays, except that models of another bucket span begin anew. On an error nothing changes.
func (d *Detector) Configure(o Options) error {
	if o.Actor == "" {
		o.Actor = ActorLogin
	}
	if o.Model == "" {
		o.Model = ModelRare
	}
	if o.Habit == (Habit{}) {
		o.Habit = Habit{Days: 5, Span: 14 * 24 * time.Hour}
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	if o.OtherZone == nil {
		o.OtherZone = time.UTC
	}
	rules, err := enabled(o)
	if err != nil {
		return err
	}
	if d.o.Rare.BucketSpan != o.Rare.BucketSpan {
		for _, l := range d.kept {
			l.rare = rare.New(o.Rare)
		}
	}
	d.o, d.rules, d.models, d.programs, d.cut = o, rules, nil, map[string]RuleSet{}, map[string]RuleSet{}
	d.watching = watching{}
	for _, l := range d.kept {
		l.rare.SetMaxUsers(o.Rare.MaxUsers)
		for _, h := range l.hosts {
			h.model.SetHalfLife(o.HalfLife)
		}
	}
	for i, r := range rules {
		if d.kept[r.ID] == nil {
			d.kept[r.ID] = newLearned(rare.New(o.Rare))
		}
		d.models = append(d.models, d.kept[r.ID])
		for _, p := range r.Programs {
			d.programs[p] |= 1 << i
			if len(p) > commLength {
				d.cut[p[:commLength]] |= 1 << i
			}
		}
	}
	return nil
}

func enabled(o Options) ([]*Rule, error) {
	var rules []*Rule
	var errs []error
	ids := map[string]bool{}
	for i := range o.Rules {
		r := o.Rules[i]
		if err := r.Check(); err != nil {
			errs = append(errs, fmt.Errorf("rule %q: %w", r.ID, err))
		}
		if ids[r.ID] {
			errs = append(errs, fmt.Errorf("rule %q: the id stands there twice", r.ID))
		}
		ids[r.ID] = true
		if r.Enabled {
			rules = append(rules, &r)
		}
	}
	if len(rules) > maxRules {
		errs = append(errs, fmt.Errorf("%d rules are enabled; at most %d may be", len(rules), maxRules))
	}
	if o.Model != ModelRare && o.Model != ModelContext {
		errs = append(errs, fmt.Errorf("model: %q is not allowed; it must be rare or context", o.Model))
	}
	if o.Rare.BucketSpan <= 0 || o.Rare.MaxUsers <= 0 || o.EpisodeIdle <= 0 || o.EpisodeMax < o.EpisodeIdle {
		errs = append(errs, errors.New("bucket span, number of users and the episodes' times must be more than 0"))
	}
	return rules, errors.Join(errs...)
}

// Rules returns the enabled rules, in the order of a RuleSet's bits.
func (d *Detector) Rules() []*Rule { return d.rules }

// Programs returns the names of all programs that enabled rules look for, in order.
func (d *Detector) Programs() []string {
	names := make([]string, 0, len(d.programs))
	for p := range d.programs {
		names = append(names, p)
	}
	slices.Sort(names)
	return names
}

// Judge says what there is to say of an exec that matched rules, appends it to out, and learns. It scores by what is known at e.Time, asks decide what to do
// with it (nil: alert over the threshold, learn always), and only then learns. A command line that a rule excepts gives no finding, but rare learns it, as the
// job does that sees names alone.
func (d *Detector) Judge(e *process.Event, set RuleSet, decide func(*Finding) Decision, out []Finding) []Finding {
	for set != 0 {
		var i int
		i, set = set.next()
		out = d.judge(i, e, decide, out)
	}
	return out
}

func (d *Detector) judge(i int, e *process.Event, decide func(*Finding) Decision, out []Finding) []Finding {
	r, l := d.rules[i], d.models[i]
	m := l.rare
	user := rareUser(e)
	f := Finding{Kind: Observation, Rule: r, Time: e.Time, Local: e.Time.In(d.zone(e)), User: user, Threshold: r.Threshold, BucketSpan: d.o.Rare.BucketSpan}
	var args []string
	f.Program, args = r.program(e)
	means := r.means(f.Program, args)
	f.Actor = d.Actor(e)
	if user == "" {
		d.unnamed++
	}
	decision := Decision{Alert: true, Learn: true}
	var inContext *context.Model
	var look context.Look
	var onProbation *probation
	var habits []*probation
	if means {
		f.Buckets, f.Users, f.BucketStart = m.Buckets(), m.Users(), m.BucketStart(e.Time)
		if user != "" { // rare, as Elastic's job, passes over what has no user
			result := m.AtOnce(e.Time, user)
			f.Score, f.RecordScore, f.Probability, f.FirstOccurrence = result.Score, result.Score, result.Probability, result.FirstOccurrence
		}
		if d.o.Model == ModelContext {
			d.Watch(e)
			inContext = d.watching.hosts[i].model
			look = d.reader.Look(e, f.Program, args, d.zone(e))
			if d.lapse(d.keyOf(&f, e), &look) {
				inContext.ForgetUnless(&look, d.o.Habit.Days, forgetAfter)
			}
			f.Context = &Context{Result: inContext.Judge(&look), Look: look}
			f.Score = f.Context.Score
			f.Learning = inContext.Age(e.Time) < d.o.LearnFor
			f.Visit = visitOf(d.keyOf(&f, e), f.Context)
		}
		if decide != nil {
			decision = decide(&f)
		}
		if f.Context != nil && decision.Learn {
			onProbation, habits = d.attend(d.keyOf(&f, e), &look)
		}
		if f.Score >= f.Threshold && !f.Learning {
			if f.Context != nil {
				f.Context.Profile, f.Context.Known = inContext.Profile(&look)
			}
			out = d.over(&f, l, e, decision.Alert, out)
		} else if onProbation != nil && decision.Alert && !f.Learning {
			out = d.below(&f, e, onProbation, out)
		}
		out = append(out, f)
	}
	if decision.Learn {
		if user != "" {
			m.Add(e.Time, user)
		}
		if inContext != nil {
			alerted := f.Kind == Alert || f.Kind == Repeat && f.Score >= f.Threshold
			inContext.Learn(&look, f.Context.Result, context.Lesson{Alerted: alerted, Daily: onProbation != nil || f.Kind == Alert, Learning: f.Learning})
		}
	}
	for _, p := range habits {
		inContext.Accept(&look)
		out = append(out, becameHabit(&f, p, d.o.Habit))
	}
	return out
}

// zone is the time zone of the day of the host that the event happened on: the one that the event tells, else the configured one.
func (d *Detector) zone(e *process.Event) *time.Location {
	if e.Timezone != "" {
		if z := d.zones.of(e.Timezone); z != nil {
			return z
		}
	}
	if e.Host.ID != "" && e.Host.ID != d.o.HostID || e.Host.ID == "" && e.Host.Name != "" {
		return d.o.OtherZone
	}
	return d.o.Zone
}

// modelHost is the host whose contexts an event belongs to, a view into the event. This host's own has no id, so that a model may go to another host.
func (d *Detector) modelHost(e *process.Event) string {
	if d.o.OneHost {
		return ""
	}
	host := e.Host.ID
	if host == "" {
		host = e.Host.Name
	}
	if host == d.o.HostID {
		return ""
	}
	return host
}

// over finds the place of an exec over the threshold: it opens an episode, escalates one, or belongs to one. A summary of the episode before it may go to out.
func (d *Detector) over(f *Finding, l *learned, e *process.Event, alert bool, out []Finding) []Finding {
	if !alert {
		f.Kind = Suppressed
		return out
	}
	key := d.keyOf(f, e)
	id := idOf(key, e)
	ep, out := d.episode(key, f, id, e, out)
	if ep.band < 0 { // nothing in it came over the threshold until now
		ep.alertID = id
		switch covering, last := d.probationFor(key, f); {
		case covering != nil:
			ep.alertID, ep.band = covering.AlertID, covering.Band
		case last != nil:
			f.EarlierID = last.AlertID
		}
	}
	if band(f.Score) > ep.band {
		f.Kind, f.AlertID, ep.band = Alert, id, band(f.Score)
		if f.Escalated = id != ep.alertID; f.Escalated {
			f.EarlierID = ep.alertID
		}
		d.putOnProbation(key, f, e)
	} else {
		f.Kind, f.AlertID = Repeat, ep.alertID
	}
	ep.over = latest(ep.over, e.Time)
	ep.add(f, e)
	f.Episode = ep.Episode
	f.Episode.Commands = slices.Clone(ep.Commands)
	if f.Kind == Alert {
		f.TypicalUsers = d.typical(l, f)
		f.Visit.Commands = commandsOf(f.Context)
		if f.Context != nil {
			f.Habit = d.o.Habit
		}
	}
	return out
}

// below finds the place of an exec that is below the threshold only because the context is no longer new, and that the actor is on probation in: it is told in a summary.
func (d *Detector) below(f *Finding, e *process.Event, p *probation, out []Finding) []Finding {
	key := d.keyOf(f, e)
	ep, out := d.episode(key, f, idOf(key, e), e, out)
	if ep.band < 0 {
		ep.alertID = p.AlertID
	}
	f.Kind, f.AlertID = Repeat, ep.alertID
	ep.add(f, e)
	f.Episode = ep.Episode
	f.Episode.Commands = slices.Clone(ep.Commands)
	return out
}

// episode is the actor's open episode, or one that begins with the exec; what that closes goes to out.
func (d *Detector) episode(key episodeKey, f *Finding, id string, e *process.Event, out []Finding) (*episode, []Finding) {
	ep := d.episodes[key]
	if ep != nil && !ep.closes(d.o).After(e.Time) {
		out = append(out, d.close(key, ep))
		ep = nil
	}
	if ep == nil {
		if len(d.episodes) >= maxEpisodes {
			out = d.evict(out)
		}
		ep = &episode{rule: f.Rule, actor: f.Actor, user: f.User, visit: f.Visit.ID, band: -1, Episode: Episode{ID: id, Start: e.Time}}
		d.episodes[key] = ep
	}
	return ep, out
}

// idOf is the id of the alert that an exec becomes.
func idOf(key episodeKey, e *process.Event) string {
	return process.ID("alert", key.host, key.rule, key.actor, strconv.FormatInt(e.Time.UnixNano(), 10), strconv.FormatUint(uint64(e.PID), 10), strconv.FormatUint(e.Sequence, 10), e.ID)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (d *Detector) keyOf(f *Finding, e *process.Event) episodeKey {
	return episodeKey{rule: f.Rule.ID, host: d.hostOf(e), actor: f.Actor.key()}
}

// setBack is from how far back on a time tells of a clock that was set: sources deliver out of order.
const setBack = time.Hour

// typicalUsers is how many of the usual users an alert names.
const typicalUsers = 5

// typical are those who usually do what a finding is about, the most frequent first. Who is known from alerts alone is none of them: rare, as Elastic's job,
// learns intruders, too.
func (d *Detector) typical(l *learned, f *Finding) []string {
	var usual []string
	for _, user := range l.rare.Typical(l.rare.Users(), f.User) {
		if len(usual) == typicalUsers {
			break
		}
		if d.o.Model == ModelRare && l.rare.AtOnce(f.Time, user).Score < f.Threshold || d.o.Model == ModelContext && !l.suspect(user) {
			usual = append(usual, user)
		}
	}
	return usual
}

// Advance says that nothing more comes before t: buckets and episodes that end until then close. The summaries are appended to out.
// A time that lies back by more than setBack is that of a clock which was set back, and goes on from there.
func (d *Detector) Advance(t time.Time, out []Finding) []Finding {
	if back := d.clock.Sub(t); back >= 0 && back <= setBack {
		return out
	}
	d.clock = t
	if d.o.Model == ModelContext {
		d.watch("", t)
		out = d.reportLearned(t, out)
	}
	for i, l := range d.models {
		d.records = l.rare.Advance(t, d.records[:0])
		for _, h := range l.hosts {
			h.model.CloseUntil(t)
		}
		if d.o.OnRecord != nil {
			for _, rec := range d.records {
				d.o.OnRecord(d.rules[i], rec)
			}
		}
	}
	if len(d.episodes) == 0 {
		return out
	}
	return d.closeUntil(t, out)
}

// Unnamed returns how many matches told neither name nor id of their user. The context model judges them as those of an unknown account, rare passes over them.
func (d *Detector) Unnamed() uint64 { return d.unnamed }

// Late returns how many matches came after their bucket had closed: judged, not learned.
func (d *Detector) Late() (n uint64) {
	for _, l := range d.kept {
		n += l.rare.Late()
	}
	return n
}

// Evicted returns how many users and open episodes were given up for want of room.
func (d *Detector) Evicted() uint64 {
	n := d.evicted
	for _, l := range d.kept {
		n += l.rare.Evicted()
		for _, h := range l.hosts {
			n += h.model.Evicted()
		}
	}
	return n
}

// Age is for how long the model in charge has learned at t, of the rule that has for the longest.
func (d *Detector) Age(t time.Time) (age time.Duration) {
	for _, l := range d.models {
		if d.o.Model == ModelRare {
			age = max(age, time.Duration(l.rare.Buckets())*d.o.Rare.BucketSpan)
			continue
		}
		for _, h := range l.hosts {
			age = max(age, h.model.Age(t))
		}
	}
	return age
}

// Actors is how many actors the model in charge knows, of the rule that knows most; users where rare is in charge.
func (d *Detector) Actors() (most int) {
	for _, l := range d.models {
		n := 0
		if d.o.Model == ModelRare {
			n = l.rare.Users()
		} else {
			for _, h := range l.hosts {
				n += h.model.Actors()
			}
		}
		most = max(most, n)
	}
	return most
}

// rareUser is the value that `rare by user.name` sees: the real user's name, or the id where no name is known.
func rareUser(e *process.Event) string {
	u := e.User
	if u.Name != "" {
		return strings.Clone(u.Name)
	}
	if u.ID != process.Unset {
		return strconv.FormatUint(uint64(u.ID), 10)
	}
	return ""
}

// Actor is who is behind the event. A login that is not a person's presence, cron's, is its service account.
func (d *Detector) Actor(e *process.Event) Actor {
	login := e.Session.User
	if d.o.Actor == ActorUser || !login.Known() || e.Session.Entry == process.EntryCron {
		return Actor{ID: e.User.ID, Name: strings.Clone(e.User.Name), Service: !login.Known() || e.Session.Entry == process.EntryCron}
	}
	return Actor{ID: login.ID, Name: strings.Clone(login.Name)}
}

// key tells actors apart: by id where it is known, for names are reused and change.
func (a Actor) key() string {
	if a.ID != process.Unset {
		return "uid " + strconv.FormatUint(uint64(a.ID), 10)
	}
	return "name " + a.Name
}

func (d *Detector) hostOf(e *process.Event) string {
	switch {
	case e.Host.ID != "":
		return strings.Clone(e.Host.ID)
	case e.Host.Name != "":
		return strings.Clone(e.Host.Name)
	}
	return d.o.HostID
}
