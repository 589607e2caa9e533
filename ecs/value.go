// SPDX-License-Identifier: Apache-2.0

package ecs

import (
	"bytes"
	"math"
	"strconv"
	"time"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"
)

// value is a scalar of a document: its JSON text, checked by jsontext.
type value struct {
	raw   []byte
	list  bool // an element of a list
	index int  // which one
}

func (v value) isString() bool { return v.raw[0] == '"' }

// plain returns the text of a scalar: a string's contents where no escapes are in it, a number's digits, true or false.
func (v value) plain() (b []byte, ok bool) {
	if !v.isString() {
		return v.raw, true
	}
	b = v.raw[1 : len(v.raw)-1]
	return b, bytes.IndexByte(b, '\\') < 0
}

// bytes returns the text of a scalar. It is valid until the next call.
func (d *draft) bytes(v value) []byte {
	b, ok := v.plain()
	if ok {
		return b
	}
	// The error is of lone surrogates, which have become U+FFFD.
	d.unquoted, _ = jsontext.AppendUnquote(d.unquoted[:0], v.raw)
	return d.unquoted
}

// view is bytes as a string, valid until the next call.
func (d *draft) view(v value) string {
	b := d.bytes(v)
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// text stores the text of a scalar in the event's own memory.
func (d *draft) text(to *string, v value) { *to = d.Text(d.bytes(v)) }

// uint is a number that is not negative and fits into so many bits, or a string of one.
func (v value) uint(bits int) (uint64, bool) {
	b, ok := v.plain()
	if !ok || len(b) == 0 {
		return 0, false
	}
	s := unsafe.String(&b[0], len(b))
	if decimal(b) {
		n, err := strconv.ParseUint(s, 10, bits)
		return n, err == nil
	}
	if b[0] < '0' || b[0] > '9' {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64) // 1e3 and 17.0 are integers, too
	if err != nil || f != math.Trunc(f) || f >= math.Ldexp(1, min(bits, 53)) {
		return 0, false
	}
	return uint64(f), true
}

func decimal[Text ~string | ~[]byte](s Text) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) > 0
}

// bool is true or false, or a string of one.
func (v value) bool() (is, ok bool) {
	b, _ := v.plain()
	switch string(b) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

// The times that make sense: what fits into nanoseconds since 1970 (time.Time.UnixNano), less a century of margin for
// what adds to them.
var (
	earliest = time.Unix(0, 0)
	latest   = time.Date(2162, 1, 1, 0, 0, 0, 0, time.UTC)
)

// time reads what Elasticsearch reads as strict_date_optional_time||epoch_millis: RFC 3339 with any fraction and
// offset, also without a zone (UTC), without seconds, without a time; or a number since 1970.
func (d *draft) time(v value) (time.Time, bool) {
	b := d.bytes(v)
	t, ok := epoch(b)
	if !ok && v.isString() {
		t, ok = d.calendar(b)
	}
	return t, ok && !t.Before(earliest) && t.Before(latest)
}

// epoch reads a number since 1970: milliseconds, of which Elasticsearch ships fractions where a date has nanoseconds;
// and as other agents write them, seconds, microseconds and nanoseconds, which how many digits there are distinguishes.
func epoch(b []byte) (time.Time, bool) {
	whole, fraction, _ := bytes.Cut(b, []byte{'.'})
	if !decimal(whole) || len(whole) < 5 || len(whole) > 19 || len(fraction) > 0 && !decimal(fraction) {
		return time.Time{}, false
	}
	unit := time.Millisecond
	switch n := len(whole); {
	case n == 9, n == 10: // 1973 to 2286; in milliseconds they would be days of 1970
		unit = time.Second
	case n == 16:
		unit = time.Microsecond
	case n > 16:
		unit = time.Nanosecond
	}
	var n, ns int64
	for _, c := range whole {
		n = n*10 + int64(c-'0')
	}
	for i, part := 0, int64(unit/10); i < len(fraction) && part > 0; i, part = i+1, part/10 {
		ns += int64(fraction[i]-'0') * part
	}
	per := int64(time.Second / unit)
	return time.Unix(n/per, n%per*int64(unit)+ns).UTC(), true
}

// zoned are the ways of writing a time with its zone that other programs have: of mail and HTTP, and of web servers.
var zoned = []string{time.RFC1123, time.RFC1123Z, "02/Jan/2006:15:04:05 -0700"}

// basic is ISO 8601 without separators.
const basic = "20060102T150405Z"

// calendar reads a date and time. time.Parse makes a location of every offset, on the heap; so it sees the time as UTC
// and the offset is taken off here.
func (d *draft) calendar(b []byte) (time.Time, bool) {
	const longest = len("2006-01-02T15:04:05.000000000-07:00") + 16
	if zone := bytes.IndexByte(b, '['); zone > 0 { // Java adds its name
		b = b[:zone]
	}
	if len(b) > longest {
		return time.Time{}, false
	}
	if len(b) > 0 && (b[0] < '0' || b[0] > '9') || len(b) > 2 && b[2] == '/' {
		for _, layout := range zoned {
			if t, err := time.Parse(layout, string(b)); err == nil {
				return t.UTC(), layout != time.RFC1123 || bytes.HasSuffix(b, []byte("GMT")) || bytes.HasSuffix(b, []byte("UTC"))
			}
		}
		return time.Time{}, false
	}
	b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte(" UTC")), []byte(" GMT"))
	local, offset, ok := cutOffset(b)
	if !ok {
		return time.Time{}, false
	}
	d.utc = append(append(d.utc[:0], bytes.TrimRight(local, " ")...), 'Z')
	if len(local) > 10 && local[10] == ' ' {
		d.utc[10] = 'T'
	}
	if len(local) > 10 && local[4] == '/' && local[7] == '/' {
		d.utc[4], d.utc[7] = '-', '-'
	}
	s := unsafe.String(&d.utc[0], len(d.utc))
	t, err := time.Parse(time.RFC3339, s)
	for _, layout := range []string{"2006-01-02T15:04Z", "2006-01-02Z", basic} {
		if err == nil {
			break
		}
		t, err = time.Parse(layout, s)
	}
	return t.Add(-offset), err == nil
}

// cutOffset takes the zone off: Z, +02:00, +0200, +02 or none, which is UTC.
func cutOffset(b []byte) (local []byte, offset time.Duration, ok bool) {
	const timeAt = len("2006-01-02T")
	if len(b) <= timeAt {
		return b, 0, true
	}
	if last := b[len(b)-1]; last == 'Z' || last == 'z' {
		return b[:len(b)-1], 0, true
	}
	i := bytes.LastIndexAny(b, "+-")
	if i < timeAt {
		return b, 0, true
	}
	digits := b[i+1:]
	var hours, minutes []byte
	switch {
	case len(digits) == 2:
		hours, minutes = digits, []byte("00")
	case len(digits) == 4:
		hours, minutes = digits[:2], digits[2:]
	case len(digits) == 5 && digits[2] == ':':
		hours, minutes = digits[:2], digits[3:]
	default:
		return nil, 0, false
	}
	if !decimal(hours) || !decimal(minutes) {
		return nil, 0, false
	}
	two := func(b []byte) time.Duration { return time.Duration(b[0]-'0')*10 + time.Duration(b[1]-'0') }
	offset = two(hours)*time.Hour + two(minutes)*time.Minute
	if b[i] == '-' {
		offset = -offset
	}
	return b[:i], offset, true
}
