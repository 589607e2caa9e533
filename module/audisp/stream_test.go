// SPDX-License-Identifier: Apache-2.0

package audisp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

const (
	cwdLine = `type=CWD msg=audit(1795879311.666:440098): cwd="/root"`
	eoeLine = `type=EOE msg=audit(1795879311.666:440098): `
	cwdBody = `audit(1795879311.666:440098): cwd="/root"`
)

// framedAs is a record in the binary format, with so many bytes for it where those are more than it has.
func framedAs(version, typ uint32, record string, buffer int) string {
	b := make([]byte, headerSize, headerSize+max(buffer, len(record)))
	for i, v := range []uint32{version, headerSize, typ, uint32(len(record))} {
		binary.NativeEndian.PutUint32(b[4*i:], v)
	}
	b = append(b, record...)
	for len(b) < headerSize+buffer {
		b = append(b, "left over "...)
	}
	return string(b[:headerSize+max(buffer, len(record))])
}

// taken are the messages of a stream, and how many bytes of it could not be understood.
func taken(in io.Reader) (out []string, bad uint64, broken error) {
	s := &stream{in: in}
	for {
		err := s.fill()
		for {
			m, more := s.next()
			if !more {
				break
			}
			text := string(m.line)
			if m.line == nil {
				text = string(m.body)
			}
			out = append(out, text)
		}
		bad += s.malformed()
		if err != nil {
			return out, bad, s.broken
		}
	}
}

// TestBothFormatsAreTakenApart reads each stream whole, and byte for byte.
func TestBothFormatsAreTakenApart(t *testing.T) {
	long := "type=EXECVE msg=audit(1795879311.666:440098): a0=" + strings.Repeat("x", maxRecord)
	for _, c := range []struct {
		name   string
		stream string
		want   []string
		bad    uint64
		broken string
	}{
		{name: "lines", stream: cwdLine + "\n" + eoeLine + "\n", want: []string{cwdLine, eoeLine}},
		{name: "empty lines", stream: "\n\n" + "\n\n" + cwdLine + "\n", want: []string{cwdLine}},
		{name: "a line without an end", stream: cwdLine + "\n" + "type=CWD", want: []string{cwdLine}},
		{name: "no record", stream: "what is this?\n" + cwdLine + "\n", want: []string{"what is this?", cwdLine}},
		{name: "a line that is too long", stream: long + "\n" + cwdLine + "\n", want: []string{cwdLine}, bad: 1},
		{name: "two of them", stream: long + "\n" + long + long + "\n" + cwdLine + "\n", want: []string{cwdLine}, bad: 2},
		{
			name:   "version 1",
			stream: framedAs(1, 1307, cwdLine, 0) + framedAs(1, 1320, eoeLine, 0) + framedAs(1, 1307, cwdLine, 0),
			want:   []string{cwdLine, eoeLine, cwdLine},
		},
		{
			name:   "version 0",
			stream: framedAs(0, 1307, cwdBody+"\x00", 0) + framedAs(0, 1307, cwdBody, 0),
			want:   []string{cwdBody, cwdBody},
		},
		{
			name: "whole buffers",
			stream: framedAs(1, 1307, cwdLine, bufferSize) + framedAs(1, 1320, eoeLine, bufferSize) +
				framedAs(1, 1307, cwdLine, bufferSize),
			want: []string{cwdLine, eoeLine, cwdLine},
		},
		{name: "a single one", stream: framedAs(1, 1307, cwdLine, bufferSize), want: []string{cwdLine}},
		{
			name:   "nonsense behind a record",
			stream: framedAs(1, 1307, cwdLine, 0) + strings.Repeat("?", 2*bufferSize),
			want:   []string{cwdLine}, bad: 1, broken: "cannot be understood: version 1061109567",
		},
		{
			name:   "a header of another length",
			stream: "\x01\x00\x00\x00" + strings.Repeat("\x01", 100), bad: 1, broken: "a header of 16843009 bytes",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, in := range []io.Reader{
				strings.NewReader(c.stream), iotest.OneByteReader(strings.NewReader(c.stream)),
				iotest.HalfReader(strings.NewReader(c.stream)),
			} {
				got, bad, broken := taken(in)
				require.Equal(t, c.want, got)
				require.Equal(t, c.bad, bad)
				if c.broken == "" {
					require.NoError(t, broken)
				} else {
					require.ErrorContains(t, broken, c.broken)
				}
			}
		})
	}
}

// FuzzStream takes apart anything, in any pieces, without end or panic, and the same whatever the pieces.
func FuzzStream(f *testing.F) {
	f.Add([]byte(cwdLine + "\n" + eoeLine + "\n"))
	f.Add([]byte(framedAs(1, 1307, cwdLine, bufferSize) + framedAs(1, 1320, eoeLine, bufferSize)))
	f.Add([]byte(framedAs(0, 1307, cwdBody, 0) + framedAs(0, 1320, cwdBody, 0)))
	f.Add([]byte{1, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, bad, broken := taken(bytes.NewReader(b))
		pieces, badPieces, brokenPieces := taken(iotest.HalfReader(bytes.NewReader(b)))
		require.Equal(t, whole, pieces)
		require.Equal(t, bad, badPieces)
		require.Equal(t, broken == nil, brokenPieces == nil)
		s := &stream{in: iotest.ErrReader(errors.New("gone"))}
		require.Error(t, s.fill())
	})
}
