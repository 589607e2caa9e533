// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/reconbeat/reconbeat/internal/agent"
	"github.com/reconbeat/reconbeat/internal/agent/wire"
	"github.com/reconbeat/reconbeat/internal/agenttest"
)

// program is a component that is what it is expected to be.
type program struct {
	mu       sync.Mutex
	expected []*wire.Expected
	units    []*wire.ObservedUnit
	answer   *wire.ActionResponse
}

func (p *program) Expect(e *wire.Expected) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = append(p.expected, e)
}

func (p *program) Observed() *wire.Observed {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &wire.Observed{Units: append([]*wire.ObservedUnit{}, p.units...)}
}

func (p *program) Act(_ context.Context, request *wire.ActionRequest) *wire.ActionResponse {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.answer != nil {
		return p.answer
	}
	return &wire.ActionResponse{Result: []byte(request.Name + " done")}
}

func (p *program) set(units ...*wire.ObservedUnit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.units = units
}

// newest is the last that was expected, by the ids of its units; an Agent says them in any order.
func (p *program) newest() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.expected) == 0 {
		return "nothing yet"
	}
	var ids []string
	for _, u := range p.expected[len(p.expected)-1].Units {
		ids = append(ids, u.Id)
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

var version = &wire.Version{Name: "reconbeat", Commit: "c0ffee", Meta: map[string]string{"commit": "c0ffee"}}

// connect runs a program under an Agent until the test ends.
func connect(t *testing.T, a *agenttest.Agent, p *program) *agent.Connection {
	start, err := agent.ReadStart(bytes.NewReader(a.Start()))
	require.NoError(t, err)
	c, err := agent.Connect(start, version, p, logp.NewNopLogger())
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, time.Minute, 5*time.Millisecond, what)
}

func unit(id, message string) *wire.ObservedUnit {
	return &wire.ObservedUnit{Id: id, State: wire.State_STATE_HEALTHY, Message: message, Index: 1}
}

func TestAProgramAndItsAgent(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*wire.StartUp)
	}{
		{name: "over TCP", change: func(*wire.StartUp) {}},
		{name: "over a socket", change: func(s *wire.StartUp) { s.Address = "unix" }},
		{name: "an Agent without chunks", change: func(s *wire.StartUp) { s.Abilities = nil }},
		{name: "an Agent that names no service", change: func(s *wire.StartUp) { s.Services = nil }},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, a := &program{}, agenttest.New(t, row.change)
			p.set(unit("in", "as it was"))
			c := connect(t, a, p)
			eventually(t, "the program introduces itself", func() bool { return a.Introduced() != nil })
			who := a.Introduced()
			require.True(t, proto.Equal(version, who.Version), who)
			require.EqualValues(t, os.Getpid(), who.Pid)
			require.Equal(t, []wire.Ability{wire.Ability_ABILITY_CHUNKS}, who.Abilities)

			a.Expect(a.Unit(wire.Kind_KIND_OUTPUT, "{id: out, type: file}"), a.Unit(wire.Kind_KIND_INPUT, "{id: in}"))
			eventually(t, "what is expected arrives", func() bool { return p.newest() == "in out" })
			p.set(unit("in", "as it is"))
			c.Changed()
			eventually(t, "what changed arrives", func() bool {
				_, message, _ := a.StateOf("in")
				return message == "as it is"
			})
			require.Nil(t, a.Last().Version, "said once a stream")

			answer := a.Ask(&wire.ActionRequest{Id: "one", Name: "what was asked"})
			require.Equal(t, "what was asked done", string(answer.Result))

			p.set(unit("in", "the last word"))
			c.Close()
			_, message, _ := a.StateOf("in")
			require.Equal(t, "the last word", message, "said before the connection is closed")
		})
	}
}

// TestWhatIsExpectedArrivesWhole has policies come in pieces, and one break into the pieces of another.
func TestWhatIsExpectedArrivesWhole(t *testing.T) {
	p, a := &program{}, agenttest.New(t)
	connect(t, a, p)
	in := func(id string) *wire.ExpectedUnit { return a.Unit(wire.Kind_KIND_INPUT, "{id: "+id+"}") }
	a.ExpectInPieces(in("a"), in("b"), in("c"))
	eventually(t, "three units arrive", func() bool { return p.newest() == "a b c" })
	a.Expect()
	eventually(t, "none is left", func() bool { return p.newest() == "" })
	for i := range 50 {
		a.ExpectInPieces(in("x"), in(fmt.Sprint("y", i)))
		a.Expect(in("z"))
	}
	a.ExpectInPieces(in("last"), in("of all"))
	eventually(t, "the newest arrives", func() bool { return p.newest() == "last of all" })
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.expected {
		if len(e.Units) > 0 && !slices.ContainsFunc(e.Units, func(u *wire.ExpectedUnit) bool { return u.Id == "z" }) {
			require.GreaterOrEqual(t, len(e.Units), 2, "a piece is no policy: %v", e)
		}
	}
}

// TestALargeObservationGoesInPieces has more units than one message may hold.
func TestALargeObservationGoesInPieces(t *testing.T) {
	p, a := &program{}, agenttest.New(t, func(s *wire.StartUp) { s.MaxMessageSize = 16 << 10 })
	var units []*wire.ObservedUnit
	for i := range 100 {
		units = append(units, unit(fmt.Sprint("unit ", i), strings.Repeat("m", 1000)))
	}
	p.set(units...)
	connect(t, a, p)
	eventually(t, "all units arrive", func() bool { return a.Last() != nil && len(a.Last().Units) == len(units) })
	require.Greater(t, a.Checkins(), 6, "in several messages")
	require.Equal(t, 1, a.Streams())
	require.True(t, proto.Equal(version, a.Introduced().Version), "the first of them has what is not a unit")
}

// TestAnAgentThatGoesAndComes breaks streams, takes the Agent away, and lets it come back: all that is observed is said
// anew, and what was expected meanwhile arrives.
func TestAnAgentThatGoesAndComes(t *testing.T) {
	p, a := &program{}, agenttest.New(t)
	p.set(unit("in", "before"))
	c := connect(t, a, p)
	eventually(t, "the program is connected", func() bool { return a.Streams() == 1 && a.Introduced() != nil })
	first := a.Introduced()

	a.Break()
	eventually(t, "the stream is opened again", func() bool { return a.Streams() == 2 && a.Introduced() != first })
	a.Ask(&wire.ActionRequest{Id: "after the break"})

	second := a.Introduced()
	a.Down()
	a.Expect(a.Unit(wire.Kind_KIND_INPUT, "{id: meanwhile}"))
	p.set(unit("in", "after"))
	c.Changed()
	a.Up()
	eventually(t, "what was expected meanwhile arrives", func() bool { return p.newest() == "meanwhile" })
	eventually(t, "the program introduces itself again", func() bool { return a.Introduced() != second })
	_, message, _ := a.StateOf("in")
	require.Equal(t, "after", message)
	a.Ask(&wire.ActionRequest{Id: "after the restart"})
}

// TestWhatHasNotChangedIsNotSaid has a program say again and again that something changed that did not: an Agent would
// answer each time.
func TestWhatHasNotChangedIsNotSaid(t *testing.T) {
	p, a := &program{}, agenttest.New(t)
	p.set(unit("in", "as it is"))
	c := connect(t, a, p)
	eventually(t, "the program is connected", func() bool { return a.Checkins() == 1 })
	for range 1000 {
		c.Changed()
		p.Observed() // lets the connection come between
	}
	p.set(unit("in", "otherwise"))
	c.Changed()
	eventually(t, "what changed arrives", func() bool {
		_, message, _ := a.StateOf("in")
		return message == "otherwise"
	})
	require.LessOrEqual(t, a.Checkins(), 3, "with one that may have been due")
}

// TestTheEndDoesNotWaitForTheAgent closes connections to an Agent that has gone, and to one that was never there.
func TestTheEndDoesNotWaitForTheAgent(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	a := agenttest.New(t)
	c := connect(t, a, &program{})
	eventually(t, "the program is connected", func() bool { return a.Streams() == 1 })
	a.Down()
	c.Close()
	connect(t, a, &program{}).Close()
	c.Close() // a second time is nothing
}

// TestAFieldThatNobodyKnowsSurvives has a newer Agent say more than the protocol of today has.
func TestAFieldThatNobodyKnowsSurvives(t *testing.T) {
	p, a := &program{}, agenttest.New(t)
	connect(t, a, p)
	later := protowire.AppendString(protowire.AppendTag(nil, 99, protowire.BytesType), "of a later Agent")
	u := a.Unit(wire.Kind_KIND_INPUT, "{id: in}")
	u.Configuration.ProtoReflect().SetUnknown(later)
	a.Expect(u)
	eventually(t, "the unit arrives", func() bool { return p.newest() == "in" })
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.expected[len(p.expected)-1].Units[0].Configuration
	require.EqualValues(t, later, got.ProtoReflect().GetUnknown())
}

// TestAnAnswerFits has a program answer with more than a message may have.
func TestAnAnswerFits(t *testing.T) {
	p, a := &program{}, agenttest.New(t, func(s *wire.StartUp) { s.MaxMessageSize = 64 << 10 })
	p.answer = &wire.ActionResponse{Diagnostics: []*wire.Diagnostic{
		{File: "small", Content: []byte("small")},
		{File: "large", Content: bytes.Repeat([]byte("x"), 100_000), ContentType: "application/octet-stream"},
		{File: "medium", Content: bytes.Repeat([]byte("y"), 10_000)},
	}}
	connect(t, a, p)
	answer := a.Ask(&wire.ActionRequest{Id: "much"})
	require.Len(t, answer.Diagnostics, 3)
	require.Equal(t, "small", string(answer.Diagnostics[0].Content))
	require.Equal(t, "left out: 100000 bytes are more than the answer may have\n", string(answer.Diagnostics[1].Content))
	require.Equal(t, "text/plain", answer.Diagnostics[1].ContentType)
	require.Len(t, answer.Diagnostics[2].Content, 10_000)
}

func TestWhatTheAgentWritesIsChecked(t *testing.T) {
	good := &wire.StartUp{}
	require.NoError(t, proto.Unmarshal(agenttest.New(t).Start(), good))
	with := func(change func(*wire.StartUp)) []byte {
		s := proto.CloneOf(good)
		change(s)
		text, err := proto.Marshal(s)
		require.NoError(t, err)
		return text
	}
	for _, row := range []struct {
		name  string
		text  []byte
		wrong []string
	}{
		{name: "nothing", wrong: []string{"standard input is empty; an Elastic Agent writes there how it is reached"}},
		{name: "something else", text: []byte("output.file: {path: /tmp}\n"),
			wrong: []string{"standard input is not what an Elastic Agent writes there: "}},
		{name: "too much", text: bytes.Repeat([]byte{0}, 1<<20+1),
			wrong: []string{"standard input has more than the 1048576 bytes"}},
		{
			name: "everything missing",
			text: with(func(s *wire.StartUp) {
				proto.Reset(s)
				s.Services = []wire.Service{wire.Service_SERVICE_CHECKIN_V1}
			}),
			wrong: []string{"lacks an address", "lacks a token", "lacks a server name",
				"offers no check-in of version 2; Agents do from 8.6 on", "has no certificate of an authority"},
		},
		{
			name:  "a key that is not the certificate's",
			text:  with(func(s *wire.StartUp) { s.Key = s.Certificate }),
			wrong: []string{"reading the certificate that the Elastic Agent wrote to standard input: "},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := agent.ReadStart(bytes.NewReader(row.text))
			for _, wrong := range row.wrong {
				require.ErrorContains(t, err, wrong)
			}
		})
	}
}

// FuzzReadStart holds that whatever stands on standard input is read, or refused with a reason.
func FuzzReadStart(f *testing.F) {
	f.Add([]byte("\x0a\x05a:123\x12\x05agent\x1a\x05token\x38\x01"))
	f.Fuzz(func(t *testing.T, text []byte) {
		start, err := agent.ReadStart(bytes.NewReader(text))
		if err == nil && (start.Address == "" || start.Token == "") {
			t.Errorf("%q is taken for an address and a token", text)
		}
	})
}
