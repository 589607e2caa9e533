// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bufio"
	"cmp"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/reconbeat/reconbeat/process"
)

const (
	// orderEvents is how many events are kept to be sorted: about 50 MB.
	orderEvents = 16384
	// orderSlack is by how much a time may lie before those that were handed on: what the engine bears.
	orderSlack = time.Minute
	// orderLate is how many events may come later than that; more, and the history would be another one.
	orderLate = 1000
)

// errOrder says that an input cannot be judged as it is.
var errOrder = errors.New("time goes back")

// order hands events on in the order of their times. What fits into orderEvents it sorts in memory. Of a longer input,
// each event may be that many places from its own. One that begins in another order (an export is often newest first)
// it sorts in a temporary file, about as long as the input.
type order struct {
	take func(*process.Event) error
	late func(*process.Event) // an event comes too late to be handed on

	events  []process.Event // their memory is used again
	free    []int
	places  []place
	number  int
	handed  int64 // the newest time that was handed on
	lates   int
	newest  int64
	back    int64 // by how much an event lay before an earlier one, at most
	rising  int   // how many events were not older than the one before
	falling int   // how many were
	last    int64
	decided bool
	runs    *runs // nil: nothing is in a file
}

// place is an event in memory.
type place struct {
	at     int64
	number int // in the input
	event  int // in order.events
}

func (o *order) add(e *process.Event) error {
	if len(o.places) == orderEvents {
		if err := o.relieve(); err != nil {
			return err
		}
	}
	at := e.Time.UnixNano()
	if o.number > 0 {
		if at < o.last {
			o.falling++
		} else if at > o.last {
			o.rising++
		}
		o.back = max(o.back, o.newest-at)
		o.newest = max(o.newest, at)
	} else {
		o.newest = at
	}
	o.last = at
	if len(o.free) == 0 {
		o.events = append(o.events, process.Event{})
		o.free = append(o.free, len(o.events)-1)
	}
	slot := o.free[len(o.free)-1]
	o.free = o.free[:len(o.free)-1]
	o.events[slot].Copy(e)
	o.places = append(o.places, place{at: at, number: o.number, event: slot})
	o.number++
	return nil
}

// compare orders two events; of the same time the one that came first, or where the newest come first the last.
func (o *order) compare(a, b place) int {
	n := cmp.Compare(a.number, b.number)
	if o.falling > o.rising {
		n = -n
	}
	return cmp.Or(cmp.Compare(a.at, b.at), n)
}

// relieve makes room.
func (o *order) relieve() error {
	slices.SortFunc(o.places, o.compare)
	if !o.decided {
		o.decided = true
		if span := o.places[len(o.places)-1].at - o.places[0].at; o.back > int64(orderSlack) && o.back > span/2 {
			runs, err := newRuns()
			if err != nil {
				return err
			}
			o.runs = runs
		}
	}
	if o.runs != nil {
		err := o.runs.write(o)
		o.clear(len(o.places))
		return err
	}
	return o.hand(len(o.places) / 2)
}

// hand hands the first events on.
func (o *order) hand(n int) error {
	for i, p := range o.places[:n] {
		e := &o.events[p.event]
		if p.at < o.handed-int64(orderSlack) {
			if o.lates++; o.lates > orderLate {
				o.clear(i)
				return fmt.Errorf("%w: more than %d events come behind later ones, by up to %s, and further than %d places, "+
					"within which they are sorted: split the input in files that are each in order, which are read as one", errOrder,
					orderLate, time.Duration(o.back).Round(time.Second), orderEvents/2)
			}
			o.late(e)
			continue
		}
		o.handed = max(o.handed, p.at)
		if err := o.take(e); err != nil {
			o.clear(i)
			return err
		}
		e.Shrink(maxWaiting)
	}
	o.clear(n)
	return nil
}

func (o *order) clear(n int) {
	for _, p := range o.places[:n] {
		o.free = append(o.free, p.event)
	}
	o.places = o.places[:copy(o.places, o.places[n:])]
}

// end hands the rest on.
func (o *order) end() error {
	slices.SortFunc(o.places, o.compare)
	if o.runs == nil {
		return o.hand(len(o.places))
	}
	if err := o.runs.write(o); err != nil {
		return err
	}
	return o.runs.merge(o.falling > o.rising, o.take)
}

// close gives the temporary file back.
func (o *order) close() {
	if o.runs != nil {
		o.runs.file.Close()
	}
}

// runs are sorted parts of an input in a temporary file.
type runs struct {
	file *os.File
	out  *bufio.Writer
	size int64
	at   []int64 // where each begins
}

func newRuns() (*runs, error) {
	f, err := os.CreateTemp("", "reconbeat-order-*")
	if err != nil {
		return nil, fmt.Errorf("sorting the events by time: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil { // it is gone when it is closed
		return nil, errors.Join(fmt.Errorf("sorting the events by time: %w", err), f.Close())
	}
	r := &runs{file: f}
	r.out = bufio.NewWriterSize(r, 256<<10)
	return r, nil
}

// Write implements io.Writer and counts.
func (r *runs) Write(b []byte) (int, error) {
	n, err := r.file.Write(b)
	r.size += int64(n)
	return n, err
}

func (r *runs) write(o *order) error {
	r.at = append(r.at, r.size)
	enc := gob.NewEncoder(r.out)
	for _, p := range o.places {
		if err := enc.Encode(&o.events[p.event]); err != nil {
			return fmt.Errorf("sorting the events by time: %w", err)
		}
	}
	if err := r.out.Flush(); err != nil {
		return fmt.Errorf("sorting the events by time, in a file of %d MB: %w", r.size>>20, err)
	}
	return nil
}

// run is one of them that is read.
type run struct {
	in    *gob.Decoder
	event *process.Event
	place int
}

func (r *run) next() error {
	r.event = &process.Event{}
	return r.in.Decode(r.event)
}

// merge hands all events on. Where the newest came first, so do of the same time those of the last run.
func (r *runs) merge(falling bool, take func(*process.Event) error) error {
	var heads []*run
	insert := func(h *run) error {
		if err := h.next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("sorting the events by time: %w", err)
		}
		i, _ := slices.BinarySearchFunc(heads, h, func(a, b *run) int {
			n := cmp.Compare(a.place, b.place)
			if falling {
				n = -n
			}
			return -cmp.Or(a.event.Time.Compare(b.event.Time), n) // the first one last
		})
		heads = slices.Insert(heads, i, h)
		return nil
	}
	for i, at := range r.at {
		end := r.size
		if i+1 < len(r.at) {
			end = r.at[i+1]
		}
		in := bufio.NewReaderSize(io.NewSectionReader(r.file, at, end-at), 32<<10)
		if err := insert(&run{in: gob.NewDecoder(in), place: i}); err != nil {
			return err
		}
	}
	for len(heads) > 0 {
		h := heads[len(heads)-1]
		heads = heads[:len(heads)-1]
		if err := take(h.event); err != nil {
			return err
		}
		if err := insert(h); err != nil {
			return err
		}
	}
	return nil
}
