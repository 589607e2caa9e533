// SPDX-License-Identifier: Apache-2.0

package module

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/reconbeat/reconbeat/process"
)

// MostRecent is how many documents a Recent remembers.
const MostRecent = 1 << 16

// Recent remembers which documents of a cluster were read near the cursor, so that none is read twice when what came
// late is looked for. Its memory is bounded: beyond MostRecent the one that was added first is forgotten, and the
// horizon moves behind it. The zero Recent is empty. It belongs to one goroutine.
type Recent struct {
	marks   []process.Mark // a ring, once it is full
	first   int            // the oldest in the ring
	known   map[uint64]struct{}
	horizon int64
}

// Add remembers a document; a zero Mark is none.
func (r *Recent) Add(m process.Mark) {
	if m == (process.Mark{}) || r.Has(m.Hash) {
		return
	}
	if r.known == nil {
		r.known = map[uint64]struct{}{}
	}
	r.known[m.Hash] = struct{}{}
	if len(r.marks) < MostRecent {
		r.marks = append(r.marks, m)
		return
	}
	gone := r.marks[r.first]
	delete(r.known, gone.Hash)
	r.Forget(gone.At + 1)
	r.marks[r.first] = m
	r.first = (r.first + 1) % len(r.marks)
}

// Has reports whether a document is remembered.
func (r *Recent) Has(hash uint64) bool {
	_, known := r.known[hash]
	return known
}

// Forget says that no document from before a place in the order of reading, in milliseconds since 1970, is read again.
func (r *Recent) Forget(before int64) {
	if before <= r.horizon {
		return
	}
	r.horizon = before
	if len(r.marks) == MostRecent {
		return // the ring replaces the oldest by itself
	}
	// Documents come about in their order: those that may go stand at the beginning. They go when they are half of all.
	n := 0
	for n < len(r.marks) && r.marks[n].At < before {
		n++
	}
	if n <= len(r.marks)/2 {
		return
	}
	for _, m := range r.marks[:n] {
		delete(r.known, m.Hash)
	}
	r.marks = slices.Clone(r.marks[n:])
}

// Horizon is the place in the order of reading before which documents may have been forgotten.
func (r *Recent) Horizon() int64 { return r.horizon }

// recentFormat is the first byte of what MarshalBinary returns.
const recentFormat = 1

// MarshalBinary encodes what is remembered.
func (r *Recent) MarshalBinary() ([]byte, error) {
	b := make([]byte, 0, 9+16*len(r.marks))
	b = append(b, recentFormat)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.horizon)) // as its bits
	for i := range r.marks {
		m := r.marks[(r.first+i)%len(r.marks)]
		if m.At < r.horizon {
			continue
		}
		b = binary.LittleEndian.AppendUint64(b, m.Hash)
		b = binary.LittleEndian.AppendUint64(b, uint64(m.At))
	}
	return b, nil
}

// UnmarshalBinary makes r what MarshalBinary has encoded.
func (r *Recent) UnmarshalBinary(b []byte) error {
	*r = Recent{}
	if len(b) < 9 || b[0] != recentFormat || (len(b)-9)%16 != 0 {
		return errors.New("these are no documents that were read")
	}
	r.horizon = int64(binary.LittleEndian.Uint64(b[1:]))
	for b = b[9:]; len(b) > 0; b = b[16:] {
		r.Add(process.Mark{Hash: binary.LittleEndian.Uint64(b), At: int64(binary.LittleEndian.Uint64(b[8:]))})
	}
	return nil
}

// Len is how many documents are remembered.
func (r *Recent) Len() int { return len(r.known) }
