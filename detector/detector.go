// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/reconbeat/reconbeat/detector/habit"
	"github.com/reconbeat/reconbeat/detector/rare"
)

// Who the actor of an event is.
const (
	ActorLogin = "login" // the login user, where somebody logged in; else the real user
	ActorUser  = "user"  // always the real user
)

// The models that may be in charge: a rule's threshold is for the score of the one that is.
const (
	ModelRare    = "rare"    // Elastic's rare by user.name, at once
	ModelContext = "context" // who does it, and in which context
)

// What a Detector takes for empty options, and a configuration for settings that are left out.
const (
	DefaultActor = ActorLogin
	DefaultModel = ModelContext
)

// DefaultLearnFor is how long the context model learns before it may alert where a configuration does not say: a day,
// and two hours for daily jobs that run a little later than the day before.
const DefaultLearnFor = 26 * time.Hour

// DefaultHabit is five days over two weeks.
var DefaultHabit = Habit{Days: 5, Span: 14 * 24 * time.Hour}

// Options are what a Detector is made of.
type Options struct {
	Rules       []Rule // the disabled ones are passed over; at most 64 enabled
	HostID      string // of events that bring no host of their own
	OneHost     bool   // all events are this host's, whatever they say
	Actor       string // ActorLogin or ActorUser; empty: DefaultActor
	EpisodeIdle time.Duration
	EpisodeMax  time.Duration
	Group       Grouping    // of episodes; zero: by actor
	Limit       Limit       // of alerts; zero: none
	Correlate   Correlating // which alerts are one story; zero: none
	Severity    string      // of alerts: SeverityRule or SeverityBanded; empty: SeverityRule
	Rare        rare.Options
	Model       string         // in charge: ModelRare, which runs in any case, or ModelContext; empty: DefaultModel
	LearnFor    time.Duration  // how old a context model must be before it may alert
	MaxHosts    int            // how many hosts' contexts a rule remembers; 0: DefaultMaxHosts
	HalfLife    time.Duration  // of what the context model has learned; 0: 30 days
	Habit       Habit          // when an actor is no longer on probation; zero: DefaultHabit
	Zone        *time.Location // of this host's day; nil: UTC
	OtherZone   *time.Location // of other hosts' days, whose events documents bring; nil: UTC
	// OnRecord receives each record of the rare model at its bucket's end; it may be nil.
	OnRecord func(*Rule, rare.Record)
	Decide   Decide // nil: there are no controls
	Value    Value  // a field for Group; nil: those of findings alone
}

// Detector holds the rules, what each has learned, and the episodes that are open.
type Detector struct {
	o        Options
	rules    []*Rule
	models   []*learned // of rules, by index
	programs map[string]RuleSet
	cut      map[string]RuleSet  // by the first commLength bytes of longer names
	all      RuleSet             // of all enabled rules
	kept     map[string]*learned // by rule id, of disabled and unknown rules too: a change of rules resets nothing
	episodes map[episodeKey]*episode
	// probations are the contexts that actors were alerted for and that are not habits yet.
	probations map[episodeKey][]*probation
	verdicts   map[episodeKey][]*verdict
	former     []formerProbation // those that ended as habits, the oldest first
	limits     map[limitKey]*limiter
	// correlations are those that a further alert may join, by host.
	correlations map[string]*correlation
	clock        time.Time // the last Advance

	program  string                   // of the exec that Match saw last, a view into it
	sessions map[string]*hostSessions // by host, as the models' contexts are
	spare    habit.Spare              // for sessions of all hosts
	awaited  []*awaited               // the one that is due first stands first
	idle     []*awaited               // their memory is used again

	watching watching
	reader   habit.Reader
	zones    zones
	records  []rare.Record // reused
	evicted  uint64
	unnamed  uint64
}

// New makes a Detector that has learned nothing. The error names everything that is wrong with the options.
func New(o Options) (*Detector, error) {
	d := &Detector{
		kept: map[string]*learned{}, episodes: map[episodeKey]*episode{}, probations: map[episodeKey][]*probation{},
		limits: map[limitKey]*limiter{}, verdicts: map[episodeKey][]*verdict{}, correlations: map[string]*correlation{},
		sessions: map[string]*hostSessions{},
	}
	if err := d.Configure(o); err != nil {
		return nil, err
	}
	return d, nil
}

// Configure changes rules and options. What was learned stays, except that models of another bucket span begin anew. On
// an error nothing changes.
func (d *Detector) Configure(o Options) error {
	o.Actor, o.Model = cmp.Or(o.Actor, DefaultActor), cmp.Or(o.Model, DefaultModel)
	o.Habit, o.MaxHosts = cmp.Or(o.Habit, DefaultHabit), cmp.Or(o.MaxHosts, DefaultMaxHosts)
	o.Zone, o.OtherZone = cmp.Or(o.Zone, time.UTC), cmp.Or(o.OtherZone, time.UTC)
	rules, err := enabled(o)
	if err != nil {
		return err
	}
	if d.o.Rare.BucketSpan != o.Rare.BucketSpan {
		for _, l := range d.kept {
			l.rare = rare.New(o.Rare)
		}
	}
	d.o, d.rules, d.models, d.all = o, rules, nil, 0
	d.programs, d.cut = map[string]RuleSet{}, map[string]RuleSet{}
	d.watching = watching{}
	for _, h := range d.sessions {
		h.SetHalfLife(o.HalfLife)
	}
	for _, l := range d.kept {
		l.rare.SetMaxUsers(o.Rare.MaxUsers)
		l.wake = time.Time{}
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
			d.all |= 1 << i
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
			errs = append(errs, fmt.Errorf("rule %q: two rules have this id", r.ID))
		}
		ids[r.ID] = true
		if r.Enabled {
			rules = append(rules, &r)
		}
	}
	if len(rules) > maxRules {
		errs = append(errs, fmt.Errorf("%d rules are enabled; at most %d are possible", len(rules), maxRules))
	}
	if o.Model != ModelRare && o.Model != ModelContext {
		errs = append(errs, fmt.Errorf("model: %q is not allowed; it must be rare or context", o.Model))
	}
	if o.Rare.BucketSpan <= 0 || o.Rare.MaxUsers <= 0 || o.EpisodeIdle <= 0 || o.EpisodeMax < o.EpisodeIdle {
		errs = append(errs, errors.New("bucket span, number of users and the episodes' times must be more than 0"))
	}
	if o.Limit.Alerts < 0 || o.Limit.Alerts > 0 && o.Limit.Per <= 0 {
		errs = append(errs, errors.New("the limit of alerts must not be negative, and its time must be more than 0"))
	}
	if o.Correlate.Window < 0 {
		errs = append(errs, errors.New("the window of correlations must not be negative"))
	}
	if len(o.Group.Fields) > MaxGroupFields {
		errs = append(errs, fmt.Errorf("episodes are grouped by %d fields; at most %d are possible", len(o.Group.Fields),
			MaxGroupFields))
	}
	return rules, errors.Join(errs...)
}

// Rules returns the enabled rules, in the order of a RuleSet's bits.
func (d *Detector) Rules() []*Rule { return d.rules }

// RuleOf returns the first rule of a set, which must not be empty.
func (d *Detector) RuleOf(set RuleSet) *Rule {
	i, _ := set.next()
	return d.rules[i]
}

// Programs returns the names of all programs of enabled rules, in order.
func (d *Detector) Programs() []string {
	names := make([]string, 0, len(d.programs))
	for p := range d.programs {
		names = append(names, p)
	}
	slices.Sort(names)
	return names
}

// setBack is how far back a time must be to mean that the clock was set: sources deliver out of order.
const setBack = time.Hour

// Advance says that nothing more comes before t: buckets, visits and episodes that end until then close. It appends to
// out their summaries, and reports on models that have become old enough to alert. A time that lies back by more than
// setBack is that of a clock which was set back, and goes on from there.
func (d *Detector) Advance(t time.Time, out []Finding) []Finding {
	if back := d.clock.Sub(t); back >= 0 && back <= setBack {
		return out
	}
	for _, l := range d.models {
		if t.Before(d.clock) {
			l.wake = time.Time{}
		}
	}
	d.clock = t
	out = d.dueUntil(t, out)
	if d.o.Model == ModelContext {
		d.watch("", t)
		out = d.reportLearned(t, out)
	}
	for i, l := range d.models {
		d.records = l.rare.Advance(t, d.records[:0])
		l.closeUntil(t)
		if d.o.OnRecord != nil {
			for _, rec := range d.records {
				d.o.OnRecord(d.rules[i], rec)
			}
		}
	}
	if len(d.episodes) > 0 {
		out = d.closeUntil(t, out)
	}
	if len(d.correlations) > 0 {
		out = d.correlationsUntil(t, out)
	}
	if len(d.limits) > 0 {
		out = d.limitsUntil(t, out)
	}
	return out
}

// Clock is how far time has come: the last Advance.
func (d *Detector) Clock() time.Time { return d.clock }

// Unnamed returns how many matches named their user neither by name nor by id. The context model judges them as those
// of an unknown account, rare passes over them.
func (d *Detector) Unnamed() uint64 { return d.unnamed }

// Late returns how many matches came after their bucket had closed: judged, not learned.
func (d *Detector) Late() (n uint64) {
	for _, l := range d.kept {
		n += l.rare.Late()
	}
	return n
}

// Evicted returns how many users, actors, hosts and open episodes were forgotten early to make room.
func (d *Detector) Evicted() uint64 {
	n := d.evicted
	for _, h := range d.sessions {
		n += h.Evicted()
	}
	for _, l := range d.kept {
		n += l.rare.Evicted() + l.forgotten
		for _, h := range l.hosts {
			n += h.model.Evicted()
		}
	}
	return n
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
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

// Extent is how much is known for the sake of a rule. It names nobody.
type Extent struct {
	Rule   string    `json:"rule"`
	Began  time.Time `json:"began,omitzero"` // when the first of its hosts was watched
	Hosts  int       `json:"hosts"`
	Actors int       `json:"actors"` // of the context model, those of all hosts
	Users  int       `json:"users"`  // of the rare model
}

// Extents are those of the enabled rules, in order.
func (d *Detector) Extents() []Extent {
	all := []Extent{}
	for i, l := range d.models {
		e := Extent{Rule: d.rules[i].ID, Hosts: len(l.hosts), Users: l.rare.Users()}
		for _, h := range l.hosts {
			e.Actors += h.model.Actors()
			if began := h.model.Began(); !began.IsZero() && (e.Began.IsZero() || began.Before(e.Began)) {
				e.Began = began
			}
		}
		all = append(all, e)
	}
	return all
}
