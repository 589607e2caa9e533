// SPDX-License-Identifier: Apache-2.0

package ecs

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/race"
	"github.com/reconbeat/reconbeat/process"
)

// random makes events that say anything a source may say, or leave it out.
type random struct{ *rand.Rand }

func (r random) maybe() bool { return r.IntN(3) > 0 }

func (r random) text() string {
	if !r.maybe() {
		return ""
	}
	pool := []rune("abz09 ./-_\"\\\n\x00é漢😀\u2028<&")
	n := 1 + r.IntN(12)
	b := make([]rune, n)
	for i := range b {
		b[i] = pool[r.IntN(len(pool))]
	}
	return string(b)
}

func (r random) number() uint32 {
	if !r.maybe() {
		return 0
	}
	return 1 + r.Uint32N(1<<22)
}

func (r random) time() time.Time {
	if !r.maybe() {
		return time.Time{}
	}
	return time.Unix(r.Int64N(4_000_000_000), r.Int64N(1e9)).UTC()
}

func (r random) account() process.User {
	u := nobody
	if r.maybe() {
		u.ID = r.Uint32N(3) * 1000
	}
	if r.maybe() {
		u.Name = []string{"root", "alice", "bob\"", "ütf"}[r.IntN(4)]
	}
	return u
}

func (r random) process() process.Process {
	p := process.Process{
		PID: r.number(), EntityID: r.text(), Start: r.time(), CWD: r.text(), Interactive: r.maybe(),
		User: r.account(), Effective: r.account(), Group: r.account(), EffGroup: r.account(),
	}
	p.Name = r.text()
	if r.maybe() {
		p.Name = "ss" + strings.ReplaceAll(r.text(), "/", "")
		p.Executable = "/usr/bin/" + p.Name
	}
	if r.maybe() {
		for range 1 + r.IntN(4) {
			p.Args = append(p.Args, r.text())
		}
	}
	p.ArgsCount = len(p.Args) + int(r.number())%3
	p.CommandLine = r.text()
	if p.CommandLine == "" {
		p.CommandLine = strings.Join(p.Args, " ")
	}
	if r.maybe() {
		p.TTY = []string{"pts0", "pts300", "tty1", "ttyS3", "hvc0", "console", "8:1", "ttyUSB0", "ttyAMA2"}[r.IntN(9)]
	}
	if r.maybe() {
		p.Binary.SHA256 = fmt.Sprintf("%064x", r.Uint64())
	}
	return p
}

func (r random) event() *process.Event {
	e := &process.Event{}
	e.Reset()
	e.Kind = []process.Kind{process.Exec, process.Fork, process.Exit}[r.IntN(3)]
	e.Time = time.Unix(1_700_000_000+r.Int64N(1e8), r.Int64N(1e9)).UTC()
	e.ID, e.Source, e.Sequence, e.Success = r.text(), r.text(), uint64(r.number()), r.maybe()
	e.Timezone, e.Starter, e.Place, e.StarterPlace = r.text(), r.text(), r.text(), r.text()
	if e.Kind == process.Exit {
		e.ExitCode = int32(r.IntN(256))
	}
	e.Process, e.Parent, e.Leader, e.Entry = r.process(), r.process(), r.process(), r.process()
	e.Leader.Binary.SHA256, e.Entry.Binary.SHA256 = "", "" // ECS has no place for them
	e.PID = 1 + r.Uint32N(1<<22)
	if len(e.Args) == 0 {
		e.CommandLine = "" // its words would be the arguments
	}
	if e.Name == "" || e.Executable == "" && e.Name[0] == '/' { // a path would be the executable
		e.Name = "ss" + e.Name
	}
	e.PPID = e.Parent.PID
	e.Binary.BuildID, e.Binary.Tool = r.text(), r.text()
	e.Session = process.Session{
		ID:      process.Unset,
		User:    r.account(),
		Entry:   r.text(),
		TTY:     r.text(),
		Leader:  r.number(),
		Start:   r.time(),
		NoShell: r.maybe(),
	}
	if r.maybe() {
		e.Session.ID = r.Uint32N(1000)
	}
	if r.maybe() {
		e.Session.Source = []netip.Addr{netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("2001:db8::7")}[r.IntN(2)]
	}
	if r.maybe() {
		e.Host = process.Host{ID: r.text(), Name: r.text(), OSType: "linux"}
	}
	e.Container = process.Container{ID: r.text(), Name: r.text(), Image: r.text()}
	e.Container.Namespace, e.Container.Pod, e.Container.Part = r.text(), r.text(), r.text()
	e.Lossy = r.maybe()
	e.Origin = process.Origin{Index: r.text(), ID: r.text()}
	return e
}

func flat(doc mapstr.M) mapstr.M { return doc.Flatten() }

func TestWhatIsEncodedDecodesToTheSameEvent(t *testing.T) {
	r := random{rand.New(rand.NewPCG(3, 7))}
	var d Decoder
	var got process.Event
	for range race.Rounds(3000, 300) {
		want := r.event()
		for name, shape := range map[string]func(mapstr.M) mapstr.M{
			"nested": func(m mapstr.M) mapstr.M { return m },
			"dotted": flat,
		} {
			doc := shape(Encode(want))
			doc["@timestamp"] = want.Time
			text, err := json.Marshal(doc)
			require.NoError(t, err)
			require.NoError(t, d.Decode(text, &got))
			if !want.User.Known() && want.Effective.Known() {
				require.Equal(t, want.Effective, got.User, "who it acts as is all that is known")
				got.User = want.User
			}
			diff := cmp.Diff(
				want,
				&got,
				cmpopts.IgnoreUnexported(process.Event{}),
				cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
				cmpopts.EquateEmpty(),
			)
			require.Empty(t, diff, "%s: %s", name, text)
		}
	}
}

func TestEveryFieldIsFoundByNameAndSaysWhatIsEncoded(t *testing.T) {
	r := random{rand.New(rand.NewPCG(5, 11))}
	n := 0
	for f := range Fields() {
		n++
		found, ok := Lookup(f.Name)
		require.True(t, ok, f.Name)
		assert.Equal(t, f.Name, found.Name)
		assert.NotEmpty(t, f.Description, f.Name)
		assert.NotEqual(t, "unknown", f.Type.String(), f.Name)
	}
	assert.Greater(t, n, 90)
	said := map[string]bool{}
	for range 300 {
		e := r.event()
		doc := Encode(e)
		for f := range Fields() {
			v := f.Value(e)
			if f.Name == "@timestamp" {
				assert.Equal(t, e.Time, v)
				continue
			}
			got, err := doc.GetValue(f.Name)
			if v == nil {
				if err == nil {
					_, object := got.(mapstr.M)
					assert.True(t, object, "%s is not said and must not be encoded", f.Name)
				}
				continue
			}
			said[f.Name] = true
			require.NoError(t, err, f.Name)
			switch v := v.(type) {
			case netip.Addr:
				assert.Equal(t, IP, f.Type)
				assert.Equal(t, v.String(), got)
			case string:
				assert.Equal(t, Keyword, f.Type, f.Name)
				assert.Equal(t, v, got)
			case []string:
				assert.Equal(t, Keywords, f.Type, f.Name)
				assert.Equal(t, v, got)
			case int64:
				assert.Equal(t, Long, f.Type, f.Name)
				assert.Equal(t, v, got)
			case bool:
				assert.Equal(t, Boolean, f.Type, f.Name)
				assert.Equal(t, v, got)
			case time.Time:
				assert.Equal(t, Date, f.Type, f.Name)
				assert.Equal(t, v.Format(time.RFC3339Nano), got)
			default:
				t.Errorf("%s: a value of type %T", f.Name, v)
			}
		}
	}
	assert.Len(t, said, n-1, "every field was said by some event")
	_, ok := Lookup("process.nonsense")
	assert.False(t, ok)
	_, ok = Lookup("auditd.session")
	assert.False(t, ok, "aliases are read only")
}

func TestAnEventOfWhichNothingIsKnownEncodesToNothing(t *testing.T) {
	var e process.Event
	e.Reset()
	assert.Empty(t, Encode(&e))
}

func TestTheDocumentOutlivesTheEventAndIsUTF8(t *testing.T) {
	var e process.Event
	e.Reset()
	e.Kind = process.Exec
	e.Name = e.Text([]byte("s\xffs"))
	e.AddArg(&e.Process, []byte("s\xffs"))
	e.AddArg(&e.Process, []byte("\xc3\x28é"))
	doc := Encode(&e)
	e.Reset()
	e.Text([]byte("overwritten overwritten overwritten overwritten"))
	args, err := doc.GetValue("process.args")
	require.NoError(t, err)
	assert.Equal(t, []string{"s\uFFFDs", "\uFFFD(é"}, args)
	name, err := doc.GetValue("process.name")
	require.NoError(t, err)
	assert.Equal(t, "s\uFFFDs", name)
	line, err := doc.GetValue("process.command_line")
	require.NoError(t, err)
	assert.Equal(t, "s\uFFFDs \uFFFD(é", line)
}

func TestTheEffectiveUserShipsOnlyWhereItDiffers(t *testing.T) {
	var e process.Event
	e.Reset()
	e.Kind, e.User, e.Effective = process.Exec, process.User{ID: 1000, Name: "alice"}, process.User{ID: 1000}
	_, err := Encode(&e).GetValue("user.effective")
	require.Error(t, err)
	e.Effective = process.User{ID: 0}
	id, err := Encode(&e).GetValue("user.effective.id")
	require.NoError(t, err)
	assert.Equal(t, "0", id)
}

func BenchmarkEncode(b *testing.B) {
	for _, file := range []string{"elastic-defend-exec", "scenario", "golden-rare-line"} {
		doc, err := os.ReadFile("testdata/documents/" + file + ".json")
		require.NoError(b, err)
		var d Decoder
		var e process.Event
		require.NoError(b, d.Decode(doc, &e))
		b.Run(file, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Encode(&e)
			}
		})
	}
}

func TestTheManualNamesEveryFieldThatIsRead(t *testing.T) {
	manual, err := os.ReadFile("../docs/modules/ndjson.md")
	require.NoError(t, err)
	below := strings.NewReplacer(
		"process.parent.",
		"process.",
		"process.session_leader.",
		"process.",
		"process.entry_leader.",
		"process.",
	)
	for _, f := range append(fields(), aliases()...) {
		name := f.Name
		if !strings.Contains(name, "entry_meta") {
			name = below.Replace(name)
		}
		assert.Contains(t, string(manual), "`"+name+"`", f.Name)
	}
}
