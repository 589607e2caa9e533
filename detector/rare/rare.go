// SPDX-License-Identifier: Apache-2.0

// Package rare computes what Elastic's anomaly detection computes for `rare by user.name`: how unusual it is, from 0 to
// 100, that a user appears at all.
//
// Time is cut into buckets. In each, a user counts once, however often they appear. The model keeps for every user a
// weight, the number of buckets they were seen in, faded by a constant factor per bucket that had anybody in it. When a
// bucket closes, the probability of each user in it is the share of all weight that belongs to users no more frequent
// than this one, averaged over the uncertainty of this user's own share. A small probability makes a record; its score
// is the least of four ceilings, of which the absolute one, 5 + 95 ln(0.05/p)/ln(500), nearly always decides about a
// newcomer.
//
// The formulas follow a description of ml-cpp 9.5.2 (classes CMultinomialConjugate, CModelTools, CAnomalyScore,
// CQDigest); they are our own code. As there, past raw scores are kept in quantile digests, so that the memory does
// not grow with the years. Users of one bucket have no order there, which moves scores a little; here it is the order
// in which they became known.
//
// A Model is pure and belongs to one goroutine: time comes in as an argument, the same observations give the same
// records.
package rare

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"time"

	"gonum.org/v1/gonum/mathext"
)

// Options shape a Model.
type Options struct {
	BucketSpan time.Duration // the length of a bucket; more than 0
	MaxUsers   int           // how many users are remembered, at least 1; the least recently seen goes first
}

// Result is how unusual a user's appearance is.
type Result struct {
	Probability     float64 // 0 to 1; 1 where nothing can be said
	Score           float64 // 0 to 100
	FirstOccurrence bool    // the user was in no bucket before
}

// Record is the result of one user in one closed bucket. Only probabilities below 0.035 make one. Those of a bucket
// come in the order in which their users became known.
type Record struct {
	BucketStart time.Time
	BucketSpan  time.Duration
	User        string
	Result
}

const (
	// decayRate is ml-cpp's: the weight of everything fades by exp(-decayRate) each half hour that had anybody in it.
	decayRate   = 0.0005
	decayBucket = 30 * time.Minute
	// recordBelow is the probability below which there is a record, and a raw score above 0 for the normaliser.
	recordBelow = 0.035
	// oversample stretches the user's own share a little before it is compared, so that ties count as no more frequent.
	oversample = 1.05
	// maxForgotten is after how many buckets without an appearance the normaliser forgets a user's own maximum.
	maxForgotten = 50
)

// user is what the model keeps of one.
type user struct {
	name    string
	nth     uint64  // users are numbered in the order in which they become known
	weight  float64 // in units of Model.unit
	last    int64   // the last closed bucket they were in; -1: none
	present bool    // in the open bucket
	max     float64 // the greatest raw score, faded
	maxAt   int64   // the bucket of the fading
	asked   uint64  // the ranking that result is of
	result  Result  // the last answer of AtOnce
}

// Model is the state of one `rare by user.name` detector.
type Model struct {
	o       Options
	decay   float64 // the factor of one bucket
	users   map[string]*user
	unit    float64 // what a stored weight of 1 is worth now: fading all users is one multiplication
	total   float64 // the sum of all weights, in units worth 1
	bucket  int64   // number of the open bucket since the epoch; -1: nothing seen yet
	first   int64   // the first whole bucket; what comes before is ignored, as by the job
	known   uint64  // how many users have become known, forgotten ones too
	open    []*user // who is in the open bucket, in the order they became known
	ahead   []ahead // who is in buckets after the open one, in the order they came
	buckets int     // closed buckets that had anybody in them
	history history

	evicted, late uint64
	ranked        ranked  // of the last AtOnce
	asking        history // of the last AtOnce that came to a score
	stranger      user    // of the last AtOnce about one
}

// ahead is an appearance in a bucket that is still to open, because a slower source may have more for the open one.
type ahead struct {
	bucket int64
	name   string
}

// New makes a Model that has seen nothing.
func New(o Options) *Model {
	m := &Model{o: o, users: map[string]*user{}, unit: 1, bucket: -1}
	m.derive()
	return m
}

func (m *Model) derive() {
	m.decay = math.Exp(-decayRate * math.Min(1, float64(m.o.BucketSpan)/float64(decayBucket)))
	m.history.every = int(time.Hour / min(max(2*m.o.BucketSpan, 5*time.Minute), time.Hour))
	m.history.fading, m.history.cut, m.history.faded = m.decay, noCut, -1
}

// Evicted returns how many users were forgotten for want of room.
func (m *Model) Evicted() uint64 { return m.evicted }

// SetMaxUsers changes how many users are remembered; those seen least recently are forgotten at once.
func (m *Model) SetMaxUsers(n int) {
	m.o.MaxUsers = n
	for len(m.users) > n && m.evict() {
	}
}

// Late returns how many observations were older than the open bucket, and therefore not learned.
func (m *Model) Late() uint64 { return m.late }

// Buckets returns how many closed buckets had anybody in them.
func (m *Model) Buckets() int { return m.buckets }

// Users returns how many users are remembered.
func (m *Model) Users() int { return len(m.users) }

// BucketStart returns the start of the bucket that t is in.
func (m *Model) BucketStart(t time.Time) time.Time {
	return m.start(m.number(t))
}

func (m *Model) start(bucket int64) time.Time {
	return time.Unix(0, bucket*int64(m.o.BucketSpan)).UTC()
}

func (m *Model) number(t time.Time) int64 {
	n, span := t.UnixNano(), int64(m.o.BucketSpan)
	b := n / span
	if n%span < 0 {
		b--
	}
	return b
}

// Advance closes the buckets that end at or before t, appends their records to out, and returns it.
func (m *Model) Advance(t time.Time, out []Record) []Record {
	b := m.number(t)
	for m.bucket >= 0 && m.bucket < b {
		out = m.close(out)
		m.bucket = m.nextBucket(b) // those in between had nobody in them, and change nothing
		m.openAhead()
	}
	return out
}

// nextBucket is the first bucket that somebody is known to be in, at most b.
func (m *Model) nextBucket(b int64) int64 {
	for _, a := range m.ahead {
		b = min(b, a.bucket)
	}
	return b
}

// openAhead lets the users appear who are ahead in the bucket that is open now.
func (m *Model) openAhead() {
	m.ahead = slices.DeleteFunc(m.ahead, func(a ahead) bool {
		if a.bucket == m.bucket {
			m.appear(a.name)
		}
		return a.bucket == m.bucket
	})
}

// Add notes that a user appears at t, and reports whether it is learned. The bucket in whose middle a stream begins
// teaches nothing, nor does one that has closed. An appearance after the open bucket is kept until Advance opens its
// own.
func (m *Model) Add(t time.Time, name string) bool {
	b := m.number(t)
	if m.bucket < 0 {
		m.bucket, m.first = b, b
		if t.UnixNano()%int64(m.o.BucketSpan) != 0 {
			m.first = b + 1
		}
		m.history.faded = m.first - 1
	}
	switch {
	case b < m.bucket:
		m.late++
		return false
	case b < m.first:
		return false
	case b == m.bucket:
		m.appear(name)
	case len(m.ahead) < maxAhead && !slices.Contains(m.ahead, ahead{b, name}):
		m.ahead = append(m.ahead, ahead{b, name})
	}
	return true
}

// maxAhead bounds how many appearances may wait for their bucket to open. The sources of one host are seconds apart at
// most: they wait for the next bucket alone.
const maxAhead = 1000

// appear puts a user into the open bucket.
func (m *Model) appear(name string) {
	u := m.users[name]
	if u == nil {
		if len(m.users) >= m.o.MaxUsers {
			m.evict()
		}
		u = m.meet(&user{name: name, last: -1})
	}
	if u.present {
		return
	}
	u.present = true
	m.open = slices.Insert(m.open, m.place(u), u)
	if m.ranked.who == name {
		m.ranked.who = "" // the ranking that was made for the question has them in it already
	} else {
		m.ranked.valid = false
	}
}

// meet makes a user known.
func (m *Model) meet(u *user) *user {
	u.nth = m.known
	m.known++
	m.users[u.name] = u
	return u
}

// place is where in the open bucket a user belongs. The order matters to the normaliser, which samples scores in it.
func (m *Model) place(u *user) int {
	i, _ := slices.BinarySearchFunc(m.open, u, func(a, b *user) int { return cmp.Compare(a.nth, b.nth) })
	return i
}

// evict forgets the user seen least recently, of several the lightest, of those the first by name. It reports whether
// there was one to forget.
func (m *Model) evict() bool {
	var worst *user
	for _, u := range m.users {
		if u.present {
			continue
		}
		if worst == nil || compare(u, worst) < 0 {
			worst = u
		}
	}
	if worst == nil {
		return false // everybody is in the open bucket: the bound gives way until it closes
	}
	m.remove(worst)
	m.evicted++
	return true
}

// compare orders users by when they were seen last, by weight, and by name.
func compare(a, b *user) int {
	return cmp.Or(cmp.Compare(a.last, b.last), cmp.Compare(a.weight, b.weight), cmp.Compare(a.name, b.name))
}

func (m *Model) remove(u *user) {
	m.total = max(0, m.total-u.weight*m.unit) // rounding must not leave less than nothing
	delete(m.users, u.name)
	m.ranked.valid = false
}

// Forget makes a user unknown again, as if they had been in no bucket but the open one, and reports whether they were
// known.
func (m *Model) Forget(name string) bool {
	u := m.users[name]
	if u == nil {
		return false
	}
	m.remove(u)
	if u.present {
		m.open = slices.DeleteFunc(m.open, func(x *user) bool { return x == u })
		m.appear(name)
	}
	return true
}

// close closes the open bucket: everybody in it is counted, all weights fade, and then the result of each is computed.
func (m *Model) close(out []Record) []Record {
	if len(m.open) == 0 {
		return out
	}
	for _, u := range m.open {
		u.weight += 1 / m.unit
		m.total++
		u.present = false
	}
	m.unit *= m.decay
	m.total *= m.decay
	m.buckets++
	m.ranked.valid = false
	m.rank(nil)
	m.history.reach(m.bucket)
	results := make([]float64, len(m.open))
	for i, u := range m.open {
		results[i] = m.ranked.smallProbability(u.weight*m.unit, m.total)
		u.raise(raw(results[i]), m.bucket, m.decay)
		m.history.add(raw(results[i]))
	}
	for i, u := range m.open {
		if p := results[i]; p < recordBelow {
			out = append(out, Record{
				BucketStart: m.start(m.bucket), BucketSpan: m.o.BucketSpan, User: u.name,
				Result: Result{Probability: p, Score: m.history.score(p, u.max), FirstOccurrence: u.last < 0},
			})
		}
		u.last = m.bucket
	}
	m.open = m.open[:0]
	m.ranked.valid = false
	m.rescale()
	return out
}

// rescale folds the unit into the weights before it becomes so small that precision suffers.
func (m *Model) rescale() {
	if m.unit > 1e-100 {
		return
	}
	for _, u := range m.users {
		u.weight *= m.unit
	}
	m.unit = 1
}

// raise brings a user's own maximum up to date: faded to this bucket, forgotten after a long absence, and at least this
// raw score.
func (u *user) raise(score float64, bucket int64, decay float64) {
	u.max, u.maxAt = math.Max(u.maxNow(bucket, decay), score), bucket
}

func (u *user) maxNow(bucket int64, decay float64) float64 {
	if bucket-u.maxAt > maxForgotten {
		return 0
	}
	return u.max * math.Pow(decay, 2*float64(bucket-u.maxAt))
}

// AtOnce returns the result as if the bucket closed with this appearance: the users of the open bucket so far, this one
// included. It learns nothing. For a time in a bucket that has closed, or is still to open, it judges by the open one.
func (m *Model) AtOnce(t time.Time, name string) Result {
	b := m.number(t)
	u := m.users[name]
	first := u == nil || u.last < 0
	if m.bucket < 0 || b < m.first && m.buckets == 0 {
		return Result{Probability: 1, FirstOccurrence: first}
	}
	if u == nil {
		u = &m.stranger
		*u = user{name: name, nth: m.known, last: -1}
	}
	m.rank(u)
	if u.asked == m.ranked.generation {
		return u.result
	}
	p := m.ranked.probability((u.weight+1/m.unit)*m.unit*m.decay, m.ranked.total*m.decay) // faded, as at the close
	u.asked, u.result = m.ranked.generation, Result{Probability: p, FirstOccurrence: first}
	if raw(p) > 0 {
		greatest := math.Max(u.maxNow(max(b, m.bucket), m.decay), raw(p))
		u.result.Score = m.historyWith(u, raw(p)).score(p, greatest)
	}
	return u.result
}

// historyWith returns the history as it would be if the open bucket closed with this appearance, in the ranking that
// was made for it.
func (m *Model) historyWith(u *user, score float64) *history {
	h := &m.asking
	h.copyFrom(&m.history)
	h.reach(m.bucket)
	place := m.place(u)
	weight, last := math.NaN(), 0.0 // of many newcomers in a bucket all have the same
	for i, o := range m.open {
		if i == place && !u.present {
			h.add(score)
		}
		if o.weight != weight {
			weight = o.weight
			last = raw(m.ranked.smallProbability((weight+1/m.unit)*m.unit*m.decay, m.ranked.total*m.decay))
		}
		h.add(last)
	}
	if place == len(m.open) {
		h.add(score)
	}
	return h
}

// Typical returns the names of at most n users, the heaviest first. It leaves out those who were in no closed bucket,
// and the one called except.
func (m *Model) Typical(n int, except string) []string {
	var all []*user
	for _, u := range m.users {
		if u.name != except && u.weight > 0 {
			all = append(all, u)
		}
	}
	slices.SortFunc(all, func(a, b *user) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.name, b.name))
	})
	var names []string
	for _, u := range all[:min(n, len(all))] {
		names = append(names, u.name)
	}
	return names
}

// ranked is the users' weights in order with the cumulated shares, from which probabilities are read. Building it costs
// a sort of all users, so it is kept until a weight or the open bucket changes.
type ranked struct {
	valid      bool
	generation uint64    // counts the rankings, from 1
	who        string    // the user that was added for the question; empty: none
	weight     []float64 // of all users, ascending, with the open bucket's presences; in units of Model.unit
	share      []float64 // weight over total
	cum        []float64 // for each share, the sum of all shares up to it, ties included
	total      float64   // in units worth 1
}

// rank brings the ranking up to date for a question about extra, who counts as present in the open bucket; nil: nobody
// does who is absent.
func (m *Model) rank(extra *user) {
	who := ""
	if extra != nil && !extra.present {
		who = extra.name
	}
	r := &m.ranked
	if r.valid && r.who == who {
		return
	}
	r.valid, r.who, r.total = true, who, m.total
	r.generation++
	r.weight = r.weight[:0]
	known := false
	for _, u := range m.users {
		w := u.weight
		if u.present || who != "" && u.name == who {
			w += 1 / m.unit
			r.total++
		}
		known = known || u.name == who
		r.weight = append(r.weight, w)
	}
	if who != "" && !known {
		r.weight = append(r.weight, 1/m.unit)
		r.total++
	}
	sort.Float64s(r.weight)
	n := len(r.weight)
	r.share, r.cum = slices.Grow(r.share[:0], n)[:n], slices.Grow(r.cum[:0], n)[:n]
	sum := 0.0
	for i := 0; i < n; {
		j := i
		for ; j < n && r.weight[j] == r.weight[i]; j++ {
			r.share[j] = r.weight[j] * m.unit / r.total
			sum += r.share[j]
		}
		for ; i < j; i++ {
			r.cum[i] = sum
		}
	}
}

// probability is the share of the users that are no more frequent than one of this weight, averaged over slices of
// equal probability of the Beta distribution of that user's true share.
func (r *ranked) probability(weight, total float64) float64 {
	n, share := samples(total), weight/total
	a, b := weight, total-weight
	if n == 1 || b <= total*1e-12 {
		return r.noMoreFrequent(oversample * share)
	}
	sum, below := 0.0, 0.0
	for i := 1; i <= n; i++ {
		f := 1.0
		if i < n {
			f = mathext.RegIncBeta(a+1, b, mathext.InvRegIncBeta(a, b, float64(i)/float64(n)))
		}
		mean := float64(n) * share * (f - below) // of the share within the slice
		below = f
		sum += r.noMoreFrequent(oversample * mean)
	}
	return sum / float64(n)
}

// smallProbability is probability where that may be small enough for a record, and 1 where it is certainly too great:
// the highest slice alone, whose mean is at least the user's own share, makes it so.
func (r *ranked) smallProbability(weight, total float64) float64 {
	if r.noMoreFrequent(oversample*weight/total) > recordBelow*float64(samples(total)) {
		return 1
	}
	return r.probability(weight, total)
}

// samples is into how many slices a user's own share is cut: the more is known, the fewer.
func samples(total float64) int {
	switch {
	case total <= 100:
		return 7
	case total <= 1000:
		return 5
	case total <= 10000:
		return 3
	}
	return 1
}

// noMoreFrequent interpolates the cumulated share at x between the users next to it.
func (r *ranked) noMoreFrequent(x float64) float64 {
	k := min(sort.SearchFloat64s(r.share, x), len(r.share)-1)
	left, below := 0.0, 0.0
	if k > 0 {
		left, below = r.share[k-1], r.cum[k-1]
	}
	if r.share[k] <= left {
		return below
	}
	return below + math.Min(1, (x-left)/(r.share[k]-left))*(r.cum[k]-below)
}

// raw turns a probability into the score that the normaliser ranks. It is linear in 1/p from 0 to 1 down to 1e-4, then
// linear in -ln p to 50 at 1e-50 and to 100 at the smallest number.
func raw(p float64) float64 {
	switch {
	case p > recordBelow:
		return 0
	case p >= 1e-4:
		return (1/p - 20) / (1e4 - 20)
	case p >= 1e-50:
		return 1 + 49*math.Log(1e-4/p)/math.Log(1e-4/1e-50)
	}
	return math.Min(100, 50+50*math.Log(1e-50/p)/math.Log(1e-50/2.2e-308))
}
