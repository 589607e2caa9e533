// SPDX-License-Identifier: Apache-2.0

package auditlog

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// truth is one exec that really happened while the recorded was made.
type truth struct {
	PID, PPID  uint32
	UID, AUID  uint32
	Ses        uint32
	TTY        bool
	CWD        string
	Argv       []string
	Exit       int
	StartNanos int64 `json:"ts_ns"`
	EndNanos   int64 `json:"ts_end_ns"`
}

func readTruth(t testing.TB) []truth {
	f, err := os.Open(filepath.Join("testdata", "audit.truth.ndjson.gz"))
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	var all []truth
	for lines := bufio.NewScanner(z); lines.Scan(); {
		var one truth
		require.NoError(t, json.Unmarshal(lines.Bytes(), &one))
		all = append(all, one)
	}
	return all
}

// key is what the truth and an event must agree on.
func (o truth) key() string {
	return fmt.Sprint(o.PID, o.PPID, o.UID, o.AUID, o.Ses, o.TTY, o.CWD, fmt.Sprintf("%q", o.Argv))
}

func replay(t testing.TB, options string, each func(*process.Event)) *module.Stats {
	stats := &module.Stats{}
	m, err := New(
		conf.MustNewConfigFrom(options),
		module.Env{ID: "auditlog", Logger: logp.NewNopLogger(), Stats: stats, Health: &health.Board{}, Replay: true},
	)
	require.NoError(t, err)
	require.NoError(
		t,
		m.Run(context.Background(), process.Cursor{}, func(e *process.Event) error { each(e); return nil }),
	)
	return stats
}

const recorded = `paths: [testdata/audit.log.gz]`

func TestTheRecordingYieldsWhatReallyHappened(t *testing.T) {
	whole, inScope := map[string]int{}, map[string]int{}
	stats := replay(t, recorded, func(e *process.Event) {
		if e.Kind != process.Exec {
			return
		}
		whole[truth{
			PID:  e.PID,
			PPID: e.PPID,
			UID:  e.User.ID,
			AUID: e.Session.User.ID,
			Ses:  e.Session.ID,
			TTY:  e.TTY != "",
			CWD:  e.CWD,
			Argv: e.Args,
		}.key()]++
		if isTool(e.Name) {
			inScope[fmt.Sprintf("%q in %s", e.Args, e.CWD)]++
		}
	})
	wanted, missing := map[string]int{}, 0
	for _, o := range readTruth(t) {
		if o.Exit == 127 {
			continue // there was no such program
		}
		if isTool(path.Base(o.Argv[0])) {
			wanted[fmt.Sprintf("%q in %s", o.Argv, o.CWD)]++
		}
		if whole[o.key()] == 0 && o.PID >= 1000 {
			missing++ // those below 1000 are pids within a namespace of their own; the log has the host's
		}
	}
	require.Len(t, wanted, 25)
	for _, nested := range nestedExecs {
		wanted[nested]++
	}
	require.Equal(t, wanted, inScope, "every exec of the four programs, and none more")
	require.Zero(t, missing)
	require.Zero(t, stats.Malformed.Load()+stats.Incomplete.Load()+stats.Truncated.Load())
}

// nestedExecs are execs that the truth does not list, because it has what the recording's generator started itself, by
// the name that it gave it: shells of its started these, or they ran under a name that is not a tool's.
var nestedExecs = []string{
	`["ss" "-tan"] in /home/evcarol`, `["netstat" "-rn"] in /home/evcarol`, // sh -c "ss -tan; netstat -rn; ip a"
	// bash -c "exec -a kworker/0:1 ss -tunap"
	`["kworker/0:1" "-tunap"] in /home/evcarol`,
	// os.execv("/usr/bin/ss", ["renamed-ss", "-tn"])
	`["renamed-ss" "-tn"] in /home/evcarol`,
	// three scripts of daemons
	`["ss" "-tan"] in /tmp`,
	`["netstat" "-an"] in /tmp`,
	`["ss" "-tan"] in /tmp`, `["netstat" "-an"] in /tmp`, `["ss" "-tan"] in /tmp`, `["netstat" "-an"] in /tmp`,
}

func isTool(name string) bool {
	return name == "ss" || name == "netstat" || name == "route" || name == "showmount"
}

func TestOptionsAreCheckedAllAtOnce(t *testing.T) {
	_, err := New(conf.MustNewConfigFrom(`{paths: [a, b], from: middle}`), module.Env{})
	require.ErrorContains(t, err, `paths: ["a" "b"] is not allowed; it must be one file`)
	require.ErrorContains(t, err, `from: "middle" is not allowed; it must be end or beginning`)
}

func TestAFollowedLogIsReadOnceAcrossARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.log")
	var cursor process.Cursor
	var seen []string
	run := func(want int) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		m, err := New(
			conf.MustNewConfigFrom(map[string]any{"paths": []string{file}, "from": "beginning"}),
			module.Env{Logger: logp.NewNopLogger(), Stats: &module.Stats{}, Health: &health.Board{}},
		)
		require.NoError(t, err)
		var n atomic.Int64
		n.Store(int64(len(seen)))
		go func() {
			defer cancel()
			for deadline := time.Now().Add(time.Minute); n.Load() < int64(want) && time.Now().Before(deadline); {
				time.Sleep(10 * time.Millisecond)
			}
		}()
		require.NoError(t, m.Run(ctx, cursor, func(e *process.Event) error {
			seen = append(seen, strings.Join(e.Args, " "))
			cursor = e.Cursor
			n.Store(int64(len(seen)))
			return nil
		}))
	}
	exec := func(seq int, arg string) string {
		return fmt.Sprintf(
			"type=SYSCALL msg=audit(1700000000.%03d:%d): arch=c000003e syscall=59 success=yes exit=0 ppid=1 pid=%d auid=1 "+
				"uid=1 gid=1 euid=1 egid=1 tty=(none) ses=1 comm=\"ss\" exe=\"/usr/bin/ss\"\n"+
				"type=EXECVE msg=audit(1700000000.%03d:%d): argc=2 a0=\"ss\" a1=\"%s\"\n",
			seq,
			seq,
			seq,
			seq,
			seq,
			arg,
		)
	}
	write := func(text string) {
		f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		require.NoError(t, err)
		_, err = f.WriteString(text)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	write(exec(1, "one") + exec(2, "two"))
	run(2)
	write(exec(3, "three"))
	run(3)
	require.Equal(t, []string{"ss one", "ss two", "ss three"}, seen)
}

func TestARecordingIsKnownByItsFirstLines(t *testing.T) {
	for sample, want := range map[string]bool{
		"type=DAEMON_START msg=audit(1795441638.758:457): op=start\n":  true,
		"\nnode=a type=SYSCALL msg=audit(1.1:1): a=b":                  true,
		`{"@timestamp":"2024-01-01T00:00:00Z"}`:                        false,
		`{"log":"type=CWD msg=audit(1.1:1): cwd=\"/\"\n"}`:             true,
		"{\"x\":1}\n" + `{"message":"type=CWD msg=audit(1.1:1): a=1"}`: true,
		`{"message":"type=CWD msg=audit(1.1:1): a=1"}` + "\n" +
			`{"@timestamp":1,"process":{"name":"ss"}}`: false,
		`[{"message":"type=CWD msg=audit(1.1:1): a=1"}]`:                               true,
		`{"hits":{"hits":[{"_source":{"message":"type=CWD msg=audit(1.1:1): a=1"}}]}}`: true,
		"{\n \"message\": \"type=CWD msg=audit(1.1:1): a=1\"\n}\n":                     true,
		`{"hits":{"hits":[{"_source":{"process":{"name":"ss"},"message":"x"}}]}}`:      false,
		"":                       false,
		"some prose\nand more\n": false,
	} {
		require.Equal(t, want, Recognises([]byte(sample)), sample)
	}
}

func BenchmarkRecording(b *testing.B) {
	b.ReportAllocs()
	execs := 0
	for b.Loop() {
		replay(b, recorded, func(e *process.Event) { execs++ })
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(execs), "ns/exec")
}

// off is that somebody switches audit off, as the log has it.
const off = "type=CONFIG_CHANGE msg=audit(1700000001.500:2): op=set audit_enabled=0 old=1 auid=1000 ses=7 " +
	"res=1\x1dAUID=\"alice\"\n" +
	`type=SYSCALL msg=audit(1700000001.500:2): arch=c000003e syscall=44 success=yes exit=60 items=0 ppid=70 pid=71 auid=1000 uid=0 gid=0 euid=0 egid=0 tty=pts1 ses=7 comm="auditctl" exe="/usr/sbin/auditctl" key=(null)
type=PROCTITLE msg=audit(1700000001.500:2): proctitle=617564697463746C002D650030
`

func TestTamperingInAFollowedLogEndsWithTheNextExec(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.log")
	require.NoError(t, os.WriteFile(file, []byte(off), 0o600))
	board := &health.Board{}
	m, err := New(conf.MustNewConfigFrom(map[string]any{"paths": []string{file}, "from": "beginning"}),
		module.Env{ID: "auditlog", Logger: logp.NewNopLogger(), Stats: &module.Stats{}, Health: board})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var actions []string
	require.NoError(t, m.Run(ctx, process.Cursor{}, func(e *process.Event) error {
		if e.Kind != process.Tamper {
			return nil
		}
		actions = append(actions, e.Change.Action)
		require.NotZero(t, e.Cursor)
		if e.Change.Action == process.RestoredAudit {
			require.Empty(t, board.Active())
			require.Equal(t, 2*time.Second, e.Time.Sub(e.Change.Since))
			cancel()
			return nil
		}
		require.Equal(t, "alice", e.Session.User.Name)
		require.Equal(t, []string{"auditctl", "-e", "0"}, e.Args)
		require.Equal(t, health.AuditTampered, board.Active()[0].Condition)
		exec := strings.NewReplacer(
			"1.500:2",
			"3.500:3",
			"syscall=44",
			"syscall=59",
		).Replace(
			off[strings.IndexByte(off, '\n')+1:],
		)
		log, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = log.WriteString(exec)
		require.NoError(t, errors.Join(err, log.Close()))
		return nil
	}))
	require.Equal(t, []string{process.ChangedAudit, process.RestoredAudit}, actions)
}

// TestALogIsOnlyASourceWhileAuditdWrites has auditd write execs, write none, and cease to write.
func TestALogIsOnlyASourceWhileAuditdWrites(t *testing.T) {
	exec, other := "type=EXECVE msg=audit(1.000:1): argc=1 a0=\"ss\"\n", "type=LOGIN msg=audit(1.000:1): pid=1\n"
	for name, c := range map[string]struct {
		text   string
		silent time.Duration
		want   string
	}{
		"execs":            {text: exec, silent: time.Hour},
		"no execs":         {text: other, want: "auditd's rules report no execs: there is none in its last 37 bytes"},
		"nobody writes it": {text: exec, silent: 50 * time.Hour, want: "nothing was written to it for 50 hours"},
		"no log":           {want: "cannot be read: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.log")
			if c.text != "" {
				require.NoError(t, os.WriteFile(path, []byte(c.text), 0o600))
				written := time.Now().Add(-c.silent)
				require.NoError(t, os.Chtimes(path, written, written))
			}
			why := WritesExecs(path)
			require.Contains(t, why, c.want)
			require.Equal(t, c.want == "", why == "")
		})
	}
}
