// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/state"
	"github.com/reconbeat/reconbeat/process"
)

func defaultDetector(t testing.TB) *detector.Detector {
	o, err := config.Default().Detector.Options("", time.UTC)
	require.NoError(t, err)
	d, err := detector.New(o)
	require.NoError(t, err)
	return d
}

// aHundredPeople is what a busy host has learned of a hundred people in sixty days: each with several commands,
// folders, shells and networks, and hours all over the day.
func aHundredPeople(t testing.TB) *detector.Detector {
	d := defaultDetector(t)
	var out []detector.Finding
	at := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	for day := range 60 {
		for person := range 100 {
			e := &process.Event{}
			e.Reset()
			e.Kind, e.Time, e.Success = process.Exec, at.Add(time.Duration(day*24*60+person*14)*time.Minute), true
			e.User = process.User{ID: uint32(1000 + person), Name: fmt.Sprintf("person%d", person)}
			e.Executable, e.Name = "/usr/bin/ss", "ss"
			e.Args = []string{"ss", []string{"-tlnp", "-s", "-tan", "-aunp", "--summary", "-x"}[(day+person)%6]}
			e.Session = process.Session{ID: uint32(day), User: e.User, Entry: process.EntrySSHD, Source: netip.AddrFrom4([4]byte{10, byte(person), byte(day % 5), 7})}
			e.Parent.Name, e.CWD = []string{"bash", "zsh", "fish"}[(day+person)%3], []string{"/home/" + e.User.Name, "/etc", "/var/log", "/srv"}[(day+2*person)%4]
			if day%5 > 0 {
				e.TTY, e.Interactive = "pts0", true
			}
			out = d.Advance(e.Time, out[:0])
			out = d.Judge(e, d.Match(e), out)
		}
	}
	return d
}

func savedState(t testing.TB) (dir string) {
	dir = t.TempDir()
	store, err := state.Open(dir, state.Options{Logger: logp.NewNopLogger()})
	require.NoError(t, err)
	model, err := aHundredPeople(t).Snapshot()
	require.NoError(t, err)
	require.NoError(t, store.SaveSnapshot(state.Snapshot{Model: model, Taken: time.Unix(1_780_000_000, 0)}))
	require.NoError(t, store.Close())
	return dir
}

func TestWhatIsLearnedOfAHundredPeopleFitsInto256KiB(t *testing.T) {
	dir := savedState(t)
	var sizes []string
	snapshot := int64(0)
	require.NoError(t, filepath.WalkDir(dir, func(path string, f fs.DirEntry, err error) error {
		if err != nil || f.IsDir() {
			return err
		}
		info, err := f.Info()
		if err != nil {
			return err
		}
		if f.Name() == "snapshot" {
			snapshot = info.Size()
		}
		sizes = append(sizes, fmt.Sprintf("%s %d", strings.TrimPrefix(path, dir+"/"), info.Size()))
		return nil
	}))
	t.Logf("bytes: %s", strings.Join(sizes, ", "))
	require.Positive(t, snapshot)
	require.Less(t, snapshot, int64(256<<10))
}

// BenchmarkStartFromState is what a start adds for what was learned: opening the state, reading the snapshot, and
// restoring the detector from it.
func BenchmarkStartFromState(b *testing.B) {
	dir := savedState(b)
	b.ReportAllocs()
	for b.Loop() {
		store, err := state.Open(dir, state.Options{Logger: logp.NewNopLogger()})
		if err != nil {
			b.Fatal(err)
		}
		d := defaultDetector(b)
		if err := d.Restore(store.Snapshot().Model); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := store.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
