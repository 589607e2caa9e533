// SPDX-License-Identifier: Apache-2.0

package habit

import (
	"math"
	"strings"
	"time"
	"unique"

	"github.com/reconbeat/reconbeat/process"
)

// The constants of the model. Those marked (fitted) were chosen on simulated hosts, seeds 1 to 10 of `go tool mage
// evaluate`, the others by what they mean.
const (
	halfLife = 30 * day
	// warmUp is how a young model's visits count: by 1-exp(-age/warmUp), in days, because at first everything is new.
	warmUp = 7
	// settled is after how many days an actor who was never seen is a newcomer, by the same law, and not one who had
	// not looked yet.
	settled = 14
	// discoveredIn is after how many days half of the actors of a host have looked, and half of its setting up is done.
	discoveredIn = 2
	// alertedWeight is what a visit that alerted counts for among the visits of the past: it may have been an
	// intruder's.
	alertedWeight = 0.1 // (fitted)

	// tentative is what a visit counts for among its actor's own when all that speaks for it is that it was there: it
	// alerted, or the model was too young to alert.
	tentative = 0.5

	// aftermath is how much likelier, in nats, an account that was never seen is an intruder's where somebody else new
	// has alerted shortly before and nobody has explained it: intruders come back, and under other names.
	aftermath = 1 // (fitted)

	// strength and discount are the parameters of the Pitman-Yor processes.
	strength = 0.5  // (fitted)
	discount = 0.35 // (fitted)
	// firstWeight is how many days an actor's likeness to newcomers is worth.
	firstWeight = 2
	// alike is how far a person's two ways to look are alike.
	alike = 0.5 // (fitted)
	// hourStrength is how many visits the class's hours are worth against the actor's own.
	hourStrength = 4 // (fitted)

	// most and least bound what one part adds: what is usual in one part may outweigh only so much that is not.
	most  = 8    // (fitted)
	least = -1.5 // (fitted)

	// kernelScale is how far a visit of the past speaks for somewhat more surprising ones, in nats.
	kernelScale = 0.5 // (fitted)
	// bound is how many visits a year every class has whose surprise is 0, and by e^-s those of s, however quiet the
	// past: if all is well, the odds of an intruder have the mean 1, so that by Markov's inequality they reach e^s in
	// e^-s of all cases (Shafer 2021, "Testing by betting").
	bound = 13 // (fitted)
	// firstVisits is the part of these that are first visits: there are fewer of them where hardly anybody comes.
	firstVisits = 1. / 3 // (fitted)

	// binsPerNat and surpriseBins are the resolution and the range in which surprises of the past are kept, from lowest
	// on.
	binsPerNat   = 4
	surpriseBins = 200
	lowest       = -15

	// forgotten is the weight of what is as good as never seen.
	forgotten = 0.05
	// mostGrown bounds the powers of two by which weights grow and fade; renewAt is where they begin anew.
	mostGrown = 900
	renewAt   = 400
	// maxValues bounds the values of one feature of one actor or class; the lightest is forgotten first.
	maxValues = 64

	// The hazard of a known actor: goneAfter is how many days of a habit the first match is worth, mostDays how many
	// days of looking make a habit as firm as it gets.
	goneAfter = 10 // (fitted)
	mostDays  = 12 // (fitted)
	mostSeen  = 90 // days
	// matchedBefore and stayedBefore are the prior counts: how many days with matches an actor begins with, and how often
	// others like them have stayed.
	matchedBefore = 0.5
	stayedBefore  = 2

	// burst is how fast further programs of a visit that speak against the actor count for less: of what is new to
	// somebody one comes with another. The k-th after the first counts 1/(1+burst*k).
	burst = 0.3 // (fitted)
	// acquainted is after how many sessions of an account half of what it runs counts: that is hardly known before.
	acquainted = 5 // (fitted)
	// leastPrograms is how many different programs that no rule means a host must have shown for the company of a match
	// to be known: where a source reports matches only, a session without others says nothing.
	leastPrograms = 12

	// neighbour is which part of a visit counts for the hour before, and for the one after.
	neighbour = 0.25
)

// The ways to appear: an account that was never seen, or a way that is new to one that was.
const (
	newAccount = iota
	newWay
	arrivals
)

// The kinds of what starts tools. A service that starts one by a shell, an interpreter or a server is how an intrusion
// looks; cron starts every job by a shell, which is scheduled; people always use one.
const (
	shell = iota
	interpreter
	other
	scheduled
	kinds
)

// prior is what is known before anything is: that on a host like others yearly visits a year surprise by from or more,
// by a factor of e fewer with every scale nats more. It is worth so many days of the host's own past, and share is the
// part of the alerts of a year that such visits may raise.
type prior struct{ yearly, from, scale, days, share float64 }

var (
	// hostsLike is the prior of each class, and strangersLike that of people who were never seen. Their shares add up to
	// two, not to one, since hardly a host uses them all. (fitted)
	strangersLike = prior{yearly: 40, from: 0, scale: 1.47, days: 10, share: 0.9}
	hostsLike     = [classes]prior{
		Person:  {yearly: 85, from: 0, scale: 1.47, days: 7, share: 0.65},
		Service: {yearly: 0.25, from: 4, scale: 1, days: 250, share: 0.26},
		Root:    {yearly: 0.3, from: 3, scale: 1.5, days: 250, share: 0.26},
	}
	// came is how many actors a day appear on a host like others, which is worth cameDays of its own past.
	came = [classes][arrivals][kinds]float64{
		Person:  {{0, 0, 1. / 42}, {0, 0, 1. / 42}},
		Service: {{1. / 1500, 1. / 1500, 1. / 600, 0.001}, {1. / 1500, 1. / 1500, 1. / 300, 0.001}},
		Root:    {{1. / 400, 1. / 400, 1. / 80, 1. / 300}, {1. / 400, 1. / 400, 1. / 80, 1. / 300}},
	}
	// undiscovered is how many actors of a new host have not looked yet.
	undiscovered = [classes][arrivals][kinds]float64{
		Person:  {{0, 0, 3}, {0, 0, 1}},
		Service: {{0.02, 0.02, 0.15, 0.15}, {0.02, 0.02, 0.1, 0.1}},
		Root:    {{0.02, 0.02, 0.3, 0.3}, {0.02, 0.02, 0.3, 0.3}},
	}
	// returns is how many a day of those who have gone come back.
	returns = [classes]float64{Person: 1. / 255, Service: 1. / 365, Root: 1. / 60}

	// intruders is what one intruder does: to come as somebody new, by the kind of parent, or as somebody known.
	intruders = [classes]struct {
		came  [arrivals][kinds]float64
		known float64
	}{
		Person:  {[arrivals][kinds]float64{{0, 0, 0.2}, {0, 0, 0.1}}, 0.3},
		Service: {[arrivals][kinds]float64{{0.1, 0.1, 0.1, 0.07}, {0.1, 0.1, 0.02, 0.07}}, 0.05},
		Root:    {[arrivals][kinds]float64{{0.14, 0.1, 0.01, 0.1}, {0.14, 0.1, 0.01, 0.1}}, 0.05},
	}
	// novelty is how often an intruder shows what nobody of the class did, by feature.
	novelty = [features]float64{
		As: 0.1, Parent: 0.4, Entry: 0.14, Network: 0.5, NetworkWide: 0.35, Command: 0.2, Folder: 0.3, Session: 0.1,
	}
)

const (
	cameDays = 30
	// variety is the shape of the gamma distribution of how many actors hosts have: the smaller, the more they differ,
	// and the faster a host teaches. (fitted)
	variety = 0.25
	// strangers is how many people must be known for the kind of a network to count half of what it does where nobody
	// is.
	strangers = 40
	// alone is how many actors of a class must be known for what a newcomer's first visit shows one after the other to
	// be held against them: fewer say too little of how much people vary.
	alone = 3
	// WorthNaming is how much a part must add to the surprise for a reason to name it.
	WorthNaming = 0.7
)

// weights say how much a part counts: less than one where features depend on each other. (fitted)
var weights = [classes][Parts]float64{
	Person: {
		As: 0.5, Parent: 1, TTY: 0.7, Entry: 1, Network: 0.5, NetworkWide: 0.56, Command: 0.84,
		Folder: 0.5, Origin: 0.7, SystemLogin: 1, Disguise: 1, Session: 0.6, Week: 0.7, Hour: 0.7,
	},
	Service: {
		As: 0.5, Parent: 0, TTY: 1, Entry: 0.7, Network: 0.5, NetworkWide: 0.5, Command: 0.7,
		Folder: 0.5, Origin: 0, SystemLogin: 0, Disguise: 1, Session: 0.4, Week: 0.2, Hour: 0.28,
	},
	Root: {
		As: 0.5, Parent: 0, TTY: 1, Entry: 0.7, Network: 0.5, NetworkWide: 0.5, Command: 0.7,
		Folder: 0.5, Origin: 0, SystemLogin: 0, Disguise: 1, Week: 0.2, Hour: 0.28,
	},
}

// common are the values of the features that have few: how common each is among actors of whom nothing is known, and
// among intruders.
var common = map[text]commonness{
	terminal:   {0.5, 0.5},
	noTerminal: {0.5, 0.5},
	workday:    {0.8, 5. / 7},
	weekend:    {0.2, 2. / 7},
	local:      {0.2, 0.2},
	inside:     {0.7, 0.35},
	outside:    {0.1, 0.45},
	ofPerson:   {0.97, 0.97},
	ofSystem:   {0.01, 0.05},
	plain:      {0.97, 0.97},

	renamedTool: {0.002, 0.06},
	deleted:     {0.002, 0.04},
	inMemory:    {0.001, 0.04},
	byLoader:    {0.005, 0.04},
	inTemporary: {0.005, 0.06},
	inHome:      {0.014, 0.04},
	inHidden:    {0.001, 0.02},
}

// usualHours is how a person's matches spread over the hours of the host's day where nothing is known of the class.
var usualHours = [24]float64{
	0.014, 0.012, 0.01, 0.01, 0.01, 0.012, 0.02, 0.045,
	0.065, 0.072, 0.072, 0.07, 0.062, 0.066, 0.07, 0.07,
	0.066, 0.06, 0.05, 0.04, 0.034, 0.028, 0.024, 0.018,
}

// unknown stands for all kinds: where the parent is unknown, and of people, whose parents say nothing.
const unknown = -1

// kindOf is what kind of program started the tool. One that lies where anybody may have put it may be a copied shell,
// whatever it is called, and so may one in a home that is called as what starts tools for its account elsewhere. One
// that starts what it is given says as little of who gave it as a shell does.
func (m *Model) kindOf(l *Match) int {
	parent := strings.TrimSuffix(l.Value(Parent), underCron)
	if l.Class == Person || parent == "" {
		return unknown
	}
	if strings.HasSuffix(parent, process.InTemporary) || strings.HasSuffix(parent, process.InMemory) {
		return shell
	}
	name, _, placed := strings.Cut(parent, " in a ")
	if placed && (m.startsFor(l.Who, name) || m.startsFor(l.Who, name+underCron)) {
		return shell
	}
	kind := programKind(name)
	if l.Who.Container == nothing && (name == "runc" || name == "crun") {
		kind = shell // what a runtime starts is in a container, unless it has got out
	}
	if kind != other && l.Value(Entry) == process.EntryCron {
		return scheduled
	}
	return kind
}

// startsFor reports whether a program of a name has started tools for an account.
func (m *Model) startsFor(who Account, name string) bool {
	return m.actors[key{who, unique.Make(name)}] != nil
}

// sumOf is what stands under a kind, of the unknown the sum.
func sumOf(kind int, by [kinds]float64) (sum float64) {
	for k, v := range by {
		if kind == k || kind == unknown {
			sum += v
		}
	}
	return sum
}

func programKind(name string) int {
	switch name {
	case "sh", "bash", "dash", "zsh", "ksh", "mksh", "fish", "ash", "busybox", "tcsh", "csh",
		// These start what they are given, and say as little of who gave it.
		"su", "find", "expect", "socat", "nc", "ncat", "tmux", "screen":
		return shell
	case "python", "perl", "ruby", "php", "php-fpm", "node", "lua", "tclsh", "java", "pwsh", "awk", "gawk", "mawk",
		// Servers, which a hole makes run what a stranger sends.
		"apache2", "httpd", "nginx", "lighttpd", "caddy", "traefik", "haproxy", "envoy", "squid", "varnishd",
		"uwsgi", "gunicorn", "unicorn", "dotnet", "beam.smp", "postgres", "mysqld", "mariadbd", "mongod",
		"redis-server", "valkey-server", "memcached", "clickhouse-server", "slapd", "named", "unbound",
		"exim4", "exim", "master", "smtpd", "dovecot", "vsftpd", "proftpd", "smbd", "cupsd", "asterisk":
		return interpreter
	}
	if process.IsWrapper(name) { // so far as the source did not say who used it
		return shell
	}
	return other
}

// arrives says in which way an actor appears who was never seen.
func (m *Model) arrives(l *Match) int {
	if m.ways(l) > 0 {
		return newWay
	}
	return newAccount
}

// ways is in how many ways the account is known.
func (m *Model) ways(l *Match) int {
	p := m.accounts[member{l.Who, l.Class}]
	if renamed(p.name, l.Name) {
		return 0
	}
	return p.ways
}

// arrivesWith is arrives, said of a match whose own actor is known by now.
func (m *Model) arrivesWith(l *Match) int {
	if m.ways(l) > 1 {
		return newWay
	}
	return newAccount
}

// arrival adds to r what it says that the actor looks on this day at all: how much likelier an intruder is to come as
// they than they are to come themselves.
func (m *Model) arrival(l *Match, a *actor, now time.Time, r *Result) {
	g, with := m.group(l.member()), &intruders[l.Class]
	kind := m.kindOf(l)
	if a != nil {
		r.Parts[Frequency] = math.Log(with.known / float64(max(1, g.Actors)) / m.hazard(a, now))
		return
	}
	how, age := m.arrives(l), days(m.age(now))
	prior := sumOf(kind, came[l.Class][how])
	rate := (sumOf(kind, g.Came[how])*m.faded(now) + prior*cameDays) / (m.memory(m.watched.Began, now) + cameDays)
	rate += m.hidden(l.member(), how, kind, age) * discoveredIn / ((age + discoveredIn) * (age + discoveredIn))
	if l.Class == Person && how == newAccount {
		// Where many were seen once only, many have not looked yet (Good 1953, "The population frequencies of
		// species").
		rate = max(rate, float64(g.Once-1)/max(1, age))
	}
	choice := sumOf(kind, with.came[how])
	if g.Actors == 0 { // an intruder cannot come as somebody who is known
		choice += with.known * choice / sumOf(unknown, with.came[how])
	}
	r.Parts[Newness] = math.Log(choice / rate)
	if l.inAftermath && how == newAccount {
		r.Parts[Newness] += aftermath
	}
}

// hidden is how many actors a host has, found or not, who were there when watching began: hosts differ, as a gamma
// distribution whose shape is variety has it, and what was found until now in the share of them that has looked by this
// age says where this host stands.
func (m *Model) hidden(of member, how, kind int, age float64) float64 {
	prior, found := sumOf(kind, undiscovered[of.Class][how]), sumOf(kind, m.group(of).Found[how])
	return (variety + found) / (variety/prior + age/(age+discoveredIn))
}

// activity is how many people a host has for one that a host like others has, at most 1: where hardly anybody comes,
// hardly anybody surprises.
func (m *Model) activity(of member, now time.Time) float64 {
	if of.Class != Person {
		return 1
	}
	age := days(m.age(now))
	prior := sumOf(unknown, undiscovered[of.Class][newAccount])
	return min(1, (variety+float64(m.group(of).Actors))/(variety/prior+age/(age+discoveredIn))/prior)
}

// hazard is the probability that an actor who was seen looks on the day of now: the more days they looked on the
// greater, unless they have gone, which is the likelier the longer they have not looked for somebody who looked as
// often (the idea of Fader, Hardie & Lee 2005, "Counting your customers the easy way").
func (m *Model) hazard(a *actor, now time.Time) float64 {
	rate := (a.Weight*m.faded(now) + matchedBefore) / (m.memory(a.Since, now) + goneAfter)
	seen, silent := min(mostSeen, days(a.Until.Sub(a.Since))), max(0, days(now.Sub(a.Until)))
	n := float64(min(mostDays, a.Days))
	gone := math.Pow((goneAfter+seen+silent)/(goneAfter+seen), n+matchedBefore) / (n + stayedBefore)
	alive := 1 / (1 + gone)
	if a.Class == Person { // who sets a host up comes back within days
		rate += math.Exp2(-days(m.age(now))/discoveredIn) * math.Ln2 / discoveredIn
	}
	return alive*rate + (1-alive)*returns[a.Class]
}

// evidence is the logarithm of how much likelier a value is to be an intruder's than the actor's.
func (m *Model) evidence(l *Match, a, sibling *actor, f int, fade float64) float64 {
	g := m.group(l.member())
	v := l.values[f]
	first, after := g.First[f].tally(v, fade), g.Later[f].tally(v, fade)

	var known float64 // days on which the actor looked
	own := tally{novel: 1}
	if a != nil {
		known, own = a.Weight*fade, a.Features[f].tally(v, fade)
	}
	var other *tally
	if sibling != nil {
		known += sibling.Weight * fade
		t := sibling.Features[f].tally(v, fade)
		other = &t
	}

	if a != nil && !a.Taught {
		first = first.with(own.n > 0) // of what is usual here, they have shown their own part, if nobody else's
	}
	c, is := common[v]
	return odds(own, other, first, after, known, novelty[f], c, is)
}

// odds is the logarithm of how much likelier a value is to be an intruder's than the actor's: by what is known of the
// actor (own), of their other way (other; nil: they have none), of newcomers of the class (first) and of what others of
// it tried later (after). known is how many days they have looked, novelty how often an intruder shows what nobody of
// the class did. few: the value is one of few, or of those that intruders are known for, and c says how common it is.
func odds(own tally, other *tally, first, after tally, known, novelty float64, c commonness, few bool) float64 {
	seen, all := first.n+after.n, first.all+after.all+strength
	nobody := 0.0 // 1: nobody of the class has shown it
	intruder := (1 - novelty) * seen / all
	if seen < forgotten {
		nobody, first.share, after.share = 1, 0, 0
		intruder = novelty + (1-novelty)*strength/all
	}
	newcomer := first.share + first.novel*(after.share+after.novel*nobody)
	regular := after.share + after.novel*(first.share+first.novel*nobody)
	if few {
		intruder, newcomer = c.intruder, first.share+first.novel*c.usual
		regular = newcomer
	}
	class := (firstWeight*newcomer + known*regular) / (firstWeight + known)
	if other != nil {
		class = (1-alike)*class + alike*(other.share+other.novel*class)
	}
	return math.Log(intruder / (own.share + own.novel*class))
}

// hour is the same of the hour of the day, of which an intruder has no favourite, and daemons have none either before
// something is known of them.
func (m *Model) hour(l *Match, a, sibling *actor, fade float64) float64 {
	p := 1. / 24
	if l.Class == Person {
		p = usualHours[l.Hour]
	}
	p = m.group(l.member()).Hours.expect(l.Hour, fade, p)
	if sibling != nil {
		p = sibling.Hours.expect(l.Hour, fade, p)
	}
	if a != nil {
		p = a.Hours.expect(l.Hour, fade, p)
	}
	return math.Log(1. / 24 / p)
}

// expect is the probability of an hour together with a share of its neighbours, because nobody keeps to the minute. p
// is what to expect where nothing is known.
func (h *hours) expect(hour int, fade, p float64) float64 {
	all := 0.0
	for _, w := range h {
		all += w
	}
	near := (1-2*neighbour)*h[hour] + neighbour*h[(hour+1)%24] + neighbour*h[(hour+23)%24]
	return (near*fade + hourStrength*p) / (all*fade + hourStrength)
}
