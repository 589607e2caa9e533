// SPDX-License-Identifier: Apache-2.0

package agenttest

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	"github.com/reconbeat/reconbeat/internal/agent/wire"
)

// sessions are described by their own heads.
//
//go:embed sessions/*.yml
var sessions embed.FS

// Sessions are the versions of Agents whose sessions were recorded.
func Sessions(t testing.TB) (versions []string) {
	files, err := sessions.ReadDir("sessions")
	require.NoError(t, err)
	for _, f := range files {
		versions = append(versions, strings.TrimSuffix(f.Name(), ".yml"))
	}
	return versions
}

// Program is the reconbeat that a session is replayed to.
type Program interface {
	// Start starts it with what the Agent writes to its standard input.
	Start(standardInput []byte)
	// End has it end, and returns how it ended.
	End() error
	// Wait waits until it has ended by itself, and returns how.
	Wait() error
	// Answered takes the names of the files of an answer, and those that were in it when the session was recorded.
	Answered(files, recorded []string)
}

// session is what an Agent and reconbeat said to each other.
type session struct {
	Start        json.RawMessage
	Whole        json.RawMessage // what every message of the Agent's has beside units
	Conversation []entry
}

// entry is a message, or a life's beginning or end.
type entry struct {
	Agent, Reconbeat string // who does what
	Because          string
	Units            json.RawMessage // that the Agent expects; that reconbeat observes, by id
	Message          json.RawMessage // that the Agent asks
	Parameters       string          // of what it asks
	Files            []string        // of the answer
}

// observation is how a unit is.
type observation struct {
	State   string
	Index   uint64
	Message string
}

// Replay has an Agent say to a program what a real one of that version said, in that order, each time after the program
// has observed what it observed then. The names that stand for what was the host's are replaced by what stands behind
// them in pairs.
func Replay(t testing.TB, version string, program Program, named ...string) *Agent {
	text, err := sessions.ReadFile("sessions/" + version + ".yml")
	require.NoError(t, err)
	var s session
	require.NoError(t, yaml.UnmarshalStrict([]byte(strings.NewReplacer(named...).Replace(string(text))), &s))
	a := New(t, func(start *wire.StartUp) {
		start.Services, start.Abilities = nil, nil
		recorded := &wire.StartUp{}
		require.NoError(t, protojson.Unmarshal(s.Start, recorded))
		proto.Merge(start, recorded)
	})
	for i, e := range s.Conversation {
		does := e.Agent + e.Reconbeat
		about := fmt.Sprintf("entry %d of session %s: %s", i+1, version, does)
		switch does {
		case "starts reconbeat":
			a.forget()
			program.Start(a.Start())
		case "expects":
			t.Logf("%s %s", about, e.Because)
			m := &wire.Expected{}
			require.NoError(t, protojson.Unmarshal(s.Whole, m), about)
			units := &wire.Expected{}
			require.NoError(t, protojson.Unmarshal(fmt.Appendf(nil, `{"units":%s}`, e.Units), units), about)
			m.Units = units.Units
			a.say(m)
		case "observes":
			want := map[string]observation{}
			require.NoError(t, json.Unmarshal(e.Units, &want), about)
			a.awaits(about, want)
		case "asks":
			request := &wire.ActionRequest{}
			require.NoError(t, protojson.Unmarshal(e.Message, request), about)
			request.Id, request.Parameters = fmt.Sprint("entry ", i+1), []byte(e.Parameters)
			answer := a.Ask(request)
			require.Equal(t, wire.ActionResponse_STATUS_SUCCESS, answer.Status, "%s: %s", about, answer.Result)
			var files []string
			for _, d := range answer.Diagnostics {
				files = append(files, d.File)
			}
			program.Answered(files, s.Conversation[i+1].Files)
		case "answers": // seen with the question
		case "ends reconbeat":
			require.NoError(t, program.End(), about)
		case "ends":
			require.NoError(t, program.Wait(), about)
		default:
			t.Fatalf("%s: nobody can do that", about)
		}
	}
	require.Less(t, a.Checkins(), 20*len(s.Conversation), "neither side answers the other without end")
	return a
}

// forget is what an Agent does when a program has ended: nothing that it observed holds, and nothing is expected yet.
func (a *Agent) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.units)
	a.last = nil
	a.replace(nil)
}

// say sends this message, and no other.
func (a *Agent) say(m *wire.Expected) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.replace([]*wire.Expected{m})
}

// awaits waits until these units are as they are to be observed, and no others are.
func (a *Agent) awaits(about string, want map[string]observation) {
	a.t.Helper()
	is := map[string]observation{}
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		clear(is)
		a.mu.Lock()
		for _, u := range a.last.GetUnits() {
			is[u.Id] = observation{State: name(u.State), Index: u.Index, Message: u.Message}
		}
		a.mu.Unlock()
		if maps.Equal(is, want) {
			return
		}
	}
	require.Equal(a.t, want, is, about)
}
