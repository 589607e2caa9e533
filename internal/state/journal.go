// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// journal is one database with what it holds, so that neither bounds nor acknowledgements need to read it. All but the database is guarded by Store.mu.
type journal struct {
	database
	pending []slot // what is not acknowledged, in order
	bytes   int64  // their sizes together
	forgot  uint64 // IDs up to here are deleted from the file
}

// maxSeq is more than any Beat ever gives: beyond is damage.
const maxSeq = 1 << 62

// slot is an entry in the file.
type slot struct {
	seq  uint64
	size int64
}

// identity is the ID of an entry that was appended.
type identity struct {
	seq uint64
	id  string
}

// change is one transaction on a journal.
type change struct {
	entries []Entry
	settled uint64 // entries up to here are deleted
	forget  uint64 // IDs up to here are deleted
}

// commit writes a change, all of it or nothing.
func (j *journal) commit(c change) error {
	return j.update(func(tx *bolt.Tx) error {
		entries, ids := tx.Bucket(entriesBucket), tx.Bucket(idsBucket)
		entries.FillPercent, ids.FillPercent = 0.95, 0.95 // keys only grow
		for i := range c.entries {
			e := &c.entries[i]
			key := seqKey(e.Seq)
			if e.Seq > c.settled {
				if err := entries.Put(key, e.encode(key)); err != nil {
					return err
				}
			}
			if e.ID != "" {
				if err := ids.Put(key, seal(key, append(make([]byte, 4, 4+len(e.ID)), e.ID...))); err != nil {
					return err
				}
			}
			// The buckets' own counter outlives their contents: no number is given twice.
			if e.Seq > entries.Sequence() {
				if err := entries.SetSequence(e.Seq); err != nil {
					return err
				}
			}
		}
		if err := deleteTo(entries, c.settled); err != nil {
			return err
		}
		return deleteTo(ids, c.forget)
	})
}

// deleteTo deletes the keys up to seq. It starts over at the first after each, because a bbolt cursor may skip one after a Delete.
func deleteTo(b *bolt.Bucket, seq uint64) error {
	c := b.Cursor()
	for k, _ := c.First(); k != nil && keySeq(k) <= seq; k, _ = c.First() {
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

// scan reads what the file holds: the entries' slots, the IDs, the highest sequence number ever given. Damaged values are deleted, and how many they were.
func (j *journal) scan() (ids []identity, last uint64, damaged int, err error) {
	j.pending, j.bytes = nil, 0
	type place struct{ bucket, key []byte }
	var bad []place
	err = j.view(func(tx *bolt.Tx) error {
		if last = tx.Bucket(entriesBucket).Sequence(); last > maxSeq {
			return fmt.Errorf("%w: its sequence number is %d", errBroken, last)
		}
		for _, name := range [][]byte{entriesBucket, idsBucket} {
			if err := tx.Bucket(name).ForEach(func(k, v []byte) error {
				seq := keySeq(k)
				v, err := unseal(k, v)
				if err != nil || seq == 0 || seq > maxSeq {
					bad = append(bad, place{name, bytes.Clone(k)})
					return nil
				}
				last = max(last, seq)
				switch {
				case bytes.Equal(name, entriesBucket):
					j.pending = append(j.pending, slot{seq, int64(len(v))})
					j.bytes += int64(len(v))
				case bytes.Equal(name, idsBucket):
					ids = append(ids, identity{seq, string(v)})
				}
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && len(bad) > 0 {
		err = j.update(func(tx *bolt.Tx) error {
			for _, p := range bad {
				if err := tx.Bucket(p.bucket).Delete(p.key); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return nil, 0, 0, fmt.Errorf("reading %s: %w", j.path, err)
	}
	return ids, last, len(bad), nil
}

// load reads the entries of these sequence numbers that are in the file. damaged counts those that are, and cannot be read.
func (j *journal) load(seqs []uint64, each func(Entry)) (damaged int, err error) {
	err = j.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(entriesBucket)
		for _, seq := range seqs {
			key := seqKey(seq)
			v := b.Get(key)
			if v == nil {
				continue
			}
			e, err := decode(key, v)
			if err != nil {
				damaged++
				continue
			}
			e.Durable = j.durable
			each(e)
		}
		return nil
	})
	return damaged, err
}
