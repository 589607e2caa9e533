// SPDX-License-Identifier: Apache-2.0

// Package elasticsearch reads process events from the documents that other agents have shipped to an Elasticsearch
// cluster: Elastic Defend, auditd_manager, auditbeat, or whoever else speaks the Elastic Common Schema.
//
// The cluster is followed as a datafeed does it: search after search, each a page in the order of event.ingested, or of
// @timestamp where a document has nothing else. Behind the place that was reached the module looks again for what
// became visible late; it knows what it has read by its ids. A replay reads what is there in the order of @timestamp.
//
// What a document means is the matter of the ecs package at the root.
package elasticsearch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/reconbeat/reconbeat/ecs"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/process"
)

// cluster is the module.
type cluster struct {
	Options
	env         module.Env
	part, parts uint64

	client  *client
	emit    func(*process.Event) error
	feeds   []*feed
	recent  module.Recent
	parents parents
	horizon int64        // documents from before, in milliseconds since 1970, are never read again
	marked  time.Time    // when the cursor was last handed on without an event
	newest  atomic.Int64 // time of the newest event, in nanoseconds since 1970; 0: none yet
	atEnd   atomic.Bool  // everything was read that may be read now

	decoder ecs.Decoder
	events  []process.Event // of one page; they keep their memory
	trouble trouble
}

// feed is what is read in the order of one field.
type feed struct {
	field   string
	filters []any     // beside those of all feeds
	at      int64     // up to here, in milliseconds since 1970, everything was read
	after   *key      // the last document that was read of what is there; nil: none, or everything was read
	checked time.Time // when late documents were last looked for
}

// feedsOf are the feeds of an order. A document without event.ingested is in no order of that field, and is read by its
// own time.
func feedsOf(field string, begin int64) []*feed {
	if field == timestamp {
		return []*feed{{field: timestamp, at: begin}}
	}
	return []*feed{
		{field: ingested, at: begin, filters: []any{object{"exists": object{"field": ingested}}}},
		{field: timestamp, at: begin, filters: []any{lacks(ingested)}},
	}
}

// Run reads documents until ctx ends, and in a replay until there are no more.
func (m *cluster) Run(ctx context.Context, from process.Cursor, emit func(*process.Event) error) error {
	begin, err := m.begin(time.Now())
	if err != nil {
		return fmt.Errorf("from: %w", err)
	}
	if m.client, err = connect(ctx, m.Connection, m.Indices, m.env.Logger); err != nil {
		return err
	}
	defer m.client.close()
	m.emit = emit
	m.parents = parents{client: m.client, within: m.ParentsWithin, stats: m.env.Stats, decoder: &m.decoder}
	defer m.trouble.log(m.env.Logger)
	if m.env.Replay {
		return m.replay(ctx, begin.UnixMilli())
	}
	m.resume(from, begin.UnixMilli())
	if err := m.mark(time.Now()); err != nil {
		return err
	}
	return m.follow(ctx)
}

// resume goes to the place of the cursor, or to the beginning where there is none.
func (m *cluster) resume(from process.Cursor, begin int64) {
	m.feeds, m.horizon = feedsOf(m.OrderBy, begin), begin
	if from == (process.Cursor{}) {
		return
	}
	for _, f := range m.feeds {
		at := from.Timestamp
		if f.field == ingested {
			at = from.Ingested
		}
		f.at = cmp.Or(at, begin) // order_by was changed
	}
	m.horizon = from.Horizon
	if err := m.recent.UnmarshalBinary(m.env.Recent); err != nil {
		m.horizon = max(from.Ingested, from.Timestamp) // nobody knows what was read before
		m.env.Logger.Warnf("what was read near the place in the cluster is not known any more; what came late before "+
			"it is not looked for: %v", err)
	}
}

// cursor is the place that was reached, after a document.
func (m *cluster) cursor(of process.Mark) process.Cursor {
	c := process.Cursor{Horizon: m.horizon, Document: of}
	for _, f := range m.feeds {
		if f.field == ingested {
			c.Ingested = f.at
		} else {
			c.Timestamp = f.at
		}
	}
	return c
}

const (
	// lateEvery is how often late documents are looked for.
	lateEvery = 30 * time.Second
	// markEvery is how often the place is handed on where there are no events to carry it.
	markEvery = 30 * time.Second
)

// mark hands the cursor on without an event, so that a restart goes on from there.
func (m *cluster) mark(now time.Time) error {
	m.marked = now
	return m.emit(&process.Event{Cursor: m.cursor(process.Mark{})})
}

// errEmit is an error of the one who takes the events: it ends the module.
type errEmit struct{ error }

func (e errEmit) Unwrap() error { return e.error }

// follow searches for new documents again and again. A cluster that does not answer is asked until it does. That it
// does not answer once is no condition: so does a data stream that rolls over, whose new index has no shard yet.
func (m *cluster) follow(ctx context.Context) error {
	wait := m.BackoffInit
	again := false // the request before has failed, too
	for ctx.Err() == nil {
		now := time.Now()
		err := m.poll(ctx, now)
		var end errEmit
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &end):
			return end.error
		case err != nil:
			m.env.Stats.Retries.Add(1)
			m.atEnd.Store(false)
			began := (again || errors.Is(err, errRefused)) && m.env.Health.Set(health.ClusterAway, m.env.ID, err.Error(), now)
			if !began {
				m.env.Logger.Debugf("the cluster has failed, and is asked again in %s: %v", wait, err)
			}
			again = true
			sleep(ctx, wait)
			wait = min(2*wait, m.BackoffMax)
			continue
		}
		m.env.Health.Clear(health.ClusterAway, m.env.ID)
		wait, again = m.BackoffInit, false
		m.atEnd.Store(true)
		if now.Sub(m.marked) >= markEvery {
			if err := m.mark(now); err != nil {
				return err
			}
		}
		m.trouble.idle(m.env.Logger)
		sleep(ctx, m.Period)
	}
	return nil
}

func sleep(ctx context.Context, long time.Duration) {
	t := time.NewTimer(long)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// poll reads everything that is there now, and now and then what came late.
func (m *cluster) poll(ctx context.Context, now time.Time) error {
	until := now.Add(-m.QueryDelay).UnixMilli()
	oldest := until
	for _, f := range m.feeds {
		if now.Sub(f.checked) >= lateEvery {
			if err := m.late(ctx, f); err != nil {
				return err
			}
			f.checked = now
		}
		if err := m.read(ctx, f, until); err != nil {
			return err
		}
		oldest = min(oldest, f.at)
	}
	m.env.Stats.Lag.Store(now.UnixMilli() - oldest)
	m.horizon = max(m.horizon, oldest-m.LateWithin.Milliseconds())
	m.recent.Forget(m.horizon)
	return nil
}

// read reads a feed until a time, page by page.
func (m *cluster) read(ctx context.Context, f *feed, until int64) error {
	size := m.PageSize
	for ctx.Err() == nil && f.at < until {
		request := m.request(f, size, f.at, until)
		if f.after != nil {
			request["search_after"] = []int64{f.after.at, f.after.seq}
		}
		hits, err := m.client.search(request)
		if err != nil {
			return err
		}
		m.env.Stats.Pages.Add(1)
		more := len(hits) == size
		if more {
			if hits = whole(hits); len(hits) == 0 {
				if size == mostPage {
					return fmt.Errorf("more than %d documents have the same place in the order of %s", mostPage, f.field)
				}
				size = min(2*size, mostPage)
				continue
			}
		}
		if err := m.take(hits, &f.at); err != nil {
			return err
		}
		if !more {
			f.at, f.after = until, nil
			return nil
		}
		last := hits[len(hits)-1].key()
		f.after, size = &last, m.PageSize
	}
	return nil
}

// whole is a full page without the documents at its end that share their place. Two shards may give the same number,
// and others of that place may stand behind the page's end; they all come with the next page. A page of one place alone
// becomes empty.
func whole(hits []hit) []hit {
	last := hits[len(hits)-1].key()
	n := len(hits)
	for n > 0 && hits[n-1].key() == last {
		n--
	}
	return hits[:n]
}

// request is a search for a page of a feed.
func (m *cluster) request(f *feed, size int, begin, until int64) object {
	filters := append(wanted(m.programs()), between(f.field, begin, until))
	return search(size, sorted(f.field, "asc"), append(filters, f.filters...))
}

func (m *cluster) programs() []string {
	if m.env.Programs == nil {
		return nil
	}
	return m.env.Programs()
}

// late looks behind the place of a feed for documents that were not there when it went past: which there are is asked
// by their ids alone.
func (m *cluster) late(ctx context.Context, f *feed) error {
	begin := max(f.at-m.LateWithin.Milliseconds(), m.horizon, m.recent.Horizon())
	if begin >= f.at {
		return nil
	}
	request := m.request(f, mostPage, begin, f.at)
	request["_source"] = false
	return m.pages(ctx, request, func(hits []hit) error {
		var ids []string
		for i := range hits {
			if !m.recent.Has(hash(&hits[i])) {
				ids = append(ids, hits[i].ID)
			}
		}
		return m.fetch(ctx, f, ids, begin)
	})
}

// pages hands on all documents of a search whose size is mostPage.
func (m *cluster) pages(ctx context.Context, request object, each func([]hit) error) error {
	for ctx.Err() == nil {
		hits, err := m.client.search(request)
		if err != nil {
			return err
		}
		m.env.Stats.Pages.Add(1)
		more := len(hits) == mostPage
		if more {
			if hits = whole(hits); len(hits) == 0 {
				return fmt.Errorf("more than %d documents have the same place in the order of reading", mostPage)
			}
		}
		if err := each(hits); err != nil || !more {
			return err
		}
		last := hits[len(hits)-1].key()
		request["search_after"] = []int64{last.at, last.seq}
	}
	return nil
}

// fetch reads the documents of these ids.
func (m *cluster) fetch(ctx context.Context, f *feed, ids []string, begin int64) error {
	for len(ids) > 0 && ctx.Err() == nil {
		n := min(len(ids), m.PageSize)
		request := m.request(f, mostPage, begin, f.at)
		request["query"] = all(request["query"], object{"ids": object{"values": ids[:n]}})
		hits, err := m.client.search(request)
		if err != nil {
			return err
		}
		m.env.Stats.Pages.Add(1)
		if err := m.take(hits, nil); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// dataStream finds the data stream that a backing index belongs to. OpenSearch puts no date into its name.
var dataStream = regexp.MustCompile(`^((?:[^:]+:)?)\.ds-(.+?)(?:-\d{4}\.\d{2}\.\d{2})?-\d{6,}$`)

// hash recognises a document, also where a rollover has brought it into another index of its data stream.
func hash(h *hit) uint64 {
	index := h.Index
	if m := dataStream.FindStringSubmatch(index); m != nil {
		index = m[1] + m[2]
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(index))
	_, _ = sum.Write([]byte{0})
	_, _ = sum.Write([]byte(h.ID))
	return sum.Sum64()
}

// take hands on what a page of documents says, each event behind those of its ancestors that it needs. at is kept at
// the place of the document that is handed on; nil: the documents are late, and it stays.
func (m *cluster) take(hits []hit, at *int64) error {
	events, marks := m.decode(hits)
	if err := m.parents.find(events, len(m.programs()) > 0); err != nil {
		return err
	}
	if at == nil {
		m.env.Stats.Late.Add(uint64(len(marks)))
	}
	for i := range marks {
		if at != nil {
			*at = marks[i].At
		}
		m.recent.Add(marks[i])
		e := &events[i]
		if e.Kind == 0 {
			continue
		}
		m.newest.Store(max(m.newest.Load(), e.Time.UnixNano()))
		if err := m.parents.before(e, m.emit); err != nil {
			return errEmit{err}
		}
		e.Cursor = m.cursor(marks[i])
		err := m.emit(e)
		e.Shrink(maxEvent)
		if err != nil {
			return errEmit{err}
		}
	}
	return nil
}

// maxEvent is how many bytes the memory of an event may keep from a long command line for the next.
const maxEvent = 16 << 10

// decode reads the documents that were not read before. An event of Kind 0 is of no interest.
func (m *cluster) decode(hits []hit) ([]process.Event, []process.Mark) {
	if len(m.events) < len(hits) {
		m.events = append(m.events, make([]process.Event, len(hits)-len(m.events))...)
	}
	marks := make([]process.Mark, 0, len(hits))
	page := map[uint64]bool{} // what this page has had
	for i := range hits {
		h := &hits[i]
		mark := process.Mark{Hash: hash(h), At: h.Sort[0]}
		if m.recent.Has(mark.Hash) || page[mark.Hash] {
			m.env.Stats.Repeated.Add(1)
			continue
		}
		page[mark.Hash] = true
		e := &m.events[len(marks)]
		marks = append(marks, mark)
		m.env.Stats.Records.Add(1)
		if err := m.decoder.Decode(h.Source, e); err != nil {
			m.env.Stats.Malformed.Add(1)
			m.malformed(h, err)
			e.Kind = 0
			continue
		}
		if e.Kind == 0 {
			m.other(h)
		} else if !m.ours(e) {
			m.env.Stats.Elsewhere.Add(1)
			e.Kind = 0
		}
		if e.Source == "" {
			e.Source = "elasticsearch"
		}
		e.Origin = process.Origin{Index: h.Index, ID: h.ID}
	}
	if m.env.Progress != nil {
		m.env.Progress.Store(int64(m.env.Stats.Records.Load()))
	}
	return m.events[:len(marks)], marks
}

// ours reports whether an event's host is one of this module's part.
func (m *cluster) ours(e *process.Event) bool {
	if m.parts == 1 {
		return true
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(e.Host.Key()))
	return sum.Sum64()%m.parts == m.part-1
}

// replayTries is how often a replay asks a cluster that does not answer.
const replayTries = 10

// replay reads all documents from a time on, in the order of their own time.
func (m *cluster) replay(ctx context.Context, begin int64) error {
	f := feedsOf(timestamp, begin)[0]
	m.feeds = []*feed{f}
	until := time.Now().UnixMilli() + 1
	span := between(f.field, begin, until)
	var n, all int64
	err := m.stubborn(ctx, func() (err error) {
		if n, err = m.client.count(append(wanted(m.programs()), span)); err == nil && n == 0 {
			all, err = m.client.count([]any{span})
		}
		return err
	})
	switch {
	case err != nil || ctx.Err() != nil:
		return err
	case n == 0:
		return m.nothing(all, time.UnixMilli(begin), time.UnixMilli(until))
	case m.env.Total != nil:
		m.env.Total.Store(n)
	}
	if err := m.stubborn(ctx, func() error { return m.read(ctx, f, until) }); err != nil || ctx.Err() != nil {
		return err
	}
	if n := m.env.Stats.Records.Load(); n > 0 && m.trouble.strange == n {
		return fmt.Errorf("of %s in %s none can be understood: the first is %s", plural.Of(n, "document"),
			strings.Join(m.Indices, ", "), m.trouble.first)
	}
	return nil
}

// nothing is the error of a replay that has nothing to read, though the cluster may have documents of that time.
func (m *cluster) nothing(all int64, from, until time.Time) error {
	const minute = "2006-01-02 15:04 MST"
	where := fmt.Sprintf("%s from %s to %s", strings.Join(m.Indices, ", "), from.UTC().Format(minute),
		until.UTC().Format(minute))
	if all == 0 {
		return fmt.Errorf("there is no document in %s, or none that the user may read", where)
	}
	what := "a program start"
	if programs := m.programs(); len(programs) > 0 {
		what = "a start of " + strings.Join(programs, ", ")
	}
	return fmt.Errorf("of %s in %s none reports %s on Linux (event.category process, event.type start)",
		plural.Of(all, "document"), where, what)
}

// stubborn does what may fail until it succeeds, the cluster refuses, or it has failed too often without progress. When
// ctx ends, it returns what has failed last.
func (m *cluster) stubborn(ctx context.Context, do func() error) error {
	wait, read := m.BackoffInit, m.env.Stats.Records.Load()
	var failed error
	for tries := 1; ; tries++ {
		err := do()
		var end errEmit
		switch n := m.env.Stats.Records.Load(); {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return failed
		case errors.As(err, &end):
			return end.error
		case n > read:
			tries, wait, read = 1, m.BackoffInit, n
		case errors.Is(err, errRefused) || tries >= replayTries:
			return err
		}
		m.env.Stats.Retries.Add(1)
		m.env.Logger.Warnf("the cluster does not answer, and is asked again in %s: %v", wait, err)
		failed = err
		sleep(ctx, wait)
		wait = min(2*wait, m.BackoffMax)
	}
}

// Watermark is shortly before the place of reading, or before the newest event while not everything is read.
func (m *cluster) Watermark(now time.Time) time.Time {
	const lag = 2 * time.Second
	newest := m.newest.Load()
	switch {
	case m.atEnd.Load():
		return now.Add(-m.QueryDelay - lag)
	case newest == 0:
		return time.Time{}
	}
	return time.Unix(0, newest).Add(-m.QueryDelay - lag)
}
