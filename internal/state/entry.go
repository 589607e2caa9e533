// SPDX-License-Identifier: Apache-2.0

package state

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"
)

// Entry is a document on its way to the output.
type Entry struct {
	Seq      uint64    // its place in the order of all entries, from 1; given by Append
	ID       string    // the document's _id; empty: never recognised as a repeat
	Durable  bool      // an alert or a summary: on disk, flushed, before it is passed on. False: a raw event
	Time     time.Time // of the event, kept to the nanosecond, in UTC
	Document []byte    // JSON
}

// size is what an entry counts against the bounds on bytes.
func (e *Entry) size() int64 {
	return int64(len(e.ID) + len(e.Document) + 32)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errChecksum = errors.New("checksum does not fit")

// seal puts a checksum over key and value before the value, so that a flipped bit in either is seen.
func seal(key, value []byte) []byte {
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value[4:])
	binary.BigEndian.PutUint32(value, sum)
	return value
}

// unseal checks and takes off what seal put on. The result shares memory with value.
func unseal(key, value []byte) ([]byte, error) {
	if len(value) < 4 {
		return nil, errChecksum
	}
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value[4:])
	if binary.BigEndian.Uint32(value) != sum {
		return nil, errChecksum
	}
	return value[4:], nil
}

// seqKey is a sequence number as a key: bytes in the order of the numbers.
func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

// keySeq is the inverse of seqKey; 0, which no entry has, for what is not one.
func keySeq(key []byte) uint64 {
	if len(key) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(key)
}

// encode makes the sealed value of an entry under its key.
func (e *Entry) encode(key []byte) []byte {
	v := make([]byte, 4, 4+8+binary.MaxVarintLen32+len(e.ID)+len(e.Document))
	v = binary.BigEndian.AppendUint64(v, uint64(e.Time.UnixNano()))
	v = binary.AppendUvarint(v, uint64(len(e.ID)))
	v = append(v, e.ID...)
	return seal(key, append(v, e.Document...))
}

// decode is the inverse of encode: an Entry that shares no memory with key and value.
func decode(key, value []byte) (Entry, error) {
	v, err := unseal(key, value)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Seq: keySeq(key)}
	if len(v) < 8 || e.Seq == 0 {
		return Entry{}, errors.New("too short")
	}
	e.Time = time.Unix(0, int64(binary.BigEndian.Uint64(v))).UTC()
	v = v[8:]
	n, w := binary.Uvarint(v)
	if w <= 0 || n > uint64(len(v)-w) {
		return Entry{}, errors.New("too short")
	}
	e.ID = string(v[w : w+int(n)])
	e.Document = append([]byte(nil), v[w+int(n):]...)
	return e, nil
}
