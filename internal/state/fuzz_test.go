// SPDX-License-Identifier: Apache-2.0

package state

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/process"
)

func FuzzEntry(f *testing.F) {
	e := Entry{Seq: 7, ID: "abc", Time: time.Unix(1700000000, 5).UTC(), Document: []byte(`{"a":1}`)}
	f.Add(e.appendTo(nil), "abc", int64(1700000000), []byte(`{}`))
	f.Add(appendMark(nil, 3, 2), "", int64(-1), []byte(nil))
	f.Fuzz(func(t *testing.T, b []byte, id string, nanoseconds int64, document []byte) {
		_, _ = parse(b)
		for _, kind := range []byte{entryRecord, idRecord, markRecord, 'x'} { // with a checksum that fits
			_, _ = parse(appendRecord(nil, kind, 7, b))
		}
		e := Entry{Seq: 7, ID: id, Time: time.Unix(0, nanoseconds).UTC(), Document: document}
		if e.check() != nil {
			return
		}
		whole := e.appendTo(nil)
		require.EqualValues(t, e.size(), len(whole))
		got, err := parse(whole)
		require.NoError(t, err)
		require.Equal(t, string(document), string(got.entry.Document))
		got.entry.Document, e.Document = nil, nil
		require.Equal(t, e, got.entry)
		if len(b) > 0 {
			whole[int(b[0])%len(whole)] ^= 1 << (b[0] % 8)
			_, err = parse(whole)
			require.Error(t, err, "a flipped bit is seen")
		}
	})
}

// FuzzSnapshot reads a file as the snapshot: as it is, and as the body of one whose frame is whole.
func FuzzSnapshot(f *testing.F) {
	dir := f.TempDir()
	path := filepath.Join(dir, "snapshot")
	s := Snapshot{
		Model:   []byte(`{"version":1}`),
		Taken:   time.Unix(1700000000, 0).UTC(),
		Cursors: map[string]process.Cursor{"auditlog": {Offset: 42}},
	}
	require.NoError(f, writeSnapshot(dir, &s))
	whole, err := os.ReadFile(path)
	require.NoError(f, err)
	body, err := readFramed(path, "snapshot", snapshotVersion)
	require.NoError(f, err)
	f.Add(whole)
	f.Add(body)
	f.Add([]byte("reconbeat snapshot 2\n"))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, '{'})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, content := range [][]byte{b, append(frame("snapshot", snapshotVersion, b), b...)} {
			require.NoError(t, os.WriteFile(path, content, 0o600))
			s, err := readSnapshot(path)
			if err != nil {
				continue
			}
			again := filepath.Join(dir, "again")
			require.NoError(t, os.MkdirAll(again, 0o700))
			if _, err := json.Marshal(s.Taken); err != nil {
				continue // JSON reads some years that it does not write
			}
			require.NoError(t, writeSnapshot(again, &s))
			second, err := ReadSnapshot(again)
			require.NoError(t, err)
			require.Equal(t, string(s.Model), string(second.Model))
			require.True(t, s.Taken.Equal(second.Taken))
			require.NoError(t, os.RemoveAll(again))
		}
	})
}

// FuzzInbox lays a file of any name and content into the inbox, raw and in a frame that is whole, beside a message.
func FuzzInbox(f *testing.F) {
	payload := []byte(`{"version":1}`)
	f.Add(
		"00000000000000000001-abcdefgh-model.message",
		append(frame("message", inboxVersion, payload), payload...),
		false,
	)
	f.Add("00000000000000000001-abcdefgh-forget.message", []byte("mallory"), true)
	f.Add("-.message", []byte("reconbeat message 2\n"), false)
	f.Add("junk", []byte{}, true)
	dir := filepath.Join(f.TempDir(), "state")
	f.Fuzz(func(t *testing.T, name string, content []byte, framed bool) {
		require.NoError(t, os.RemoveAll(dir))
		s := mustOpen(t, dir, Options{})
		require.NoError(t, WriteInbox(dir, "real", []byte("one")))
		if framed {
			content = append(frame("message", inboxVersion, content), content...)
		}
		path := filepath.Join(dir, "inbox", name)
		if filepath.Base(path) != name || os.WriteFile(path, content, 0o600) != nil {
			return // no name of a file
		}
		handled := 0
		require.NoError(t, s.Inbox(func(kind string, payload []byte) error {
			require.Regexp(t, inboxKind, kind)
			if kind == "real" && string(payload) == "one" {
				handled++
			}
			return nil
		}))
		require.Positive(t, handled, "what is not a message does not stop the others")
		require.NoError(t, s.Inbox(func(string, []byte) error { return errors.New("again") }), "each is handed over once")
		require.NoError(t, s.Close())
	})
}
