// SPDX-License-Identifier: Apache-2.0

package managed

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/elastic/beats/v7/libbeat/cfgfile"
	"github.com/elastic/beats/v7/libbeat/common"
	"github.com/elastic/beats/v7/libbeat/common/reload"
	"github.com/elastic/beats/v7/libbeat/management/status"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/agent/wire"
)

// TestAUnitIsAsItsWorstStream holds what a person reads of a unit.
func TestAUnitIsAsItsWorstStream(t *testing.T) {
	streams := func(reports ...report) (list []*stream) {
		for i, r := range reports {
			list = append(list, &stream{id: fmt.Sprint("s", i), last: r})
		}
		return list
	}
	for _, row := range []struct {
		name    string
		unit    unit
		whole   report
		state   wire.State
		message string
	}{
		{name: "an output that is set", state: wire.State_STATE_HEALTHY, message: "Healthy"},
		{
			name:    "no stream has reported yet",
			unit:    unit{streams: streams(report{status.Running, ""}, report{})},
			state:   wire.State_STATE_STARTING,
			message: "Starting",
		},
		{
			name: "one is degraded and one fails",
			unit: unit{streams: streams(report{status.Degraded, "ring full"}, report{status.Failed, "no audit"},
				report{status.Running, ""})},
			state:   wire.State_STATE_FAILED,
			message: "ring full; no audit",
		},
		{
			name:    "what is said of the whole Beat is said once",
			unit:    unit{streams: streams(report{status.Degraded, "stalled"}, report{status.Degraded, "stalled"})},
			whole:   report{status.Degraded, "stalled"},
			state:   wire.State_STATE_DEGRADED,
			message: "stalled",
		},
		{
			name:    "a rejected policy over what still runs",
			unit:    unit{wrong: "not applied", streams: streams(report{status.Running, ""})},
			state:   wire.State_STATE_FAILED,
			message: "not applied",
		},
		{
			name:    "on its way",
			unit:    unit{changing: true, phase: wire.State_STATE_CONFIGURING, wrong: "of before"},
			state:   wire.State_STATE_CONFIGURING,
			message: "Configuring",
		},
		{
			name:    "a message that is too long",
			unit:    unit{wrong: strings.Repeat("ä", longestMessage)},
			state:   wire.State_STATE_FAILED,
			message: strings.Repeat("ä", longestMessage/2) + " ...",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			state, message := row.unit.state(row.whole)
			require.Equal(t, row.state.String(), state.String())
			require.Equal(t, row.message, message)
		})
	}
}

// TestMistakesAreTheirUnits takes apart what a Beat's reload returns.
func TestMistakesAreTheirUnits(t *testing.T) {
	unit := func(id, text string) error { return cfgfile.UnitError{UnitID: id, Err: errors.New(text)} }
	again := fmt.Errorf("again: %w", &common.ErrInputNotFinished{State: "rejected"})
	for _, row := range []struct {
		name string
		err  error
		want map[string][]string
	}{
		{name: "nothing", want: map[string][]string{}},
		{name: "a wish to be tried again", err: again, want: map[string][]string{}},
		{name: "a bare error is everybody's", err: errors.New("x"), want: map[string][]string{"": {"x"}}},
		{
			name: "several, in lists of lists",
			err:  errors.Join(again, errors.Join(unit("a", "1"), unit("b", "2")), unit("a", "3"), errors.New("x")),
			want: map[string][]string{"": {"x"}, "a": {"1", "3"}, "b": {"2"}},
		},
	} {
		t.Run(row.name, func(t *testing.T) { require.Equal(t, row.want, mistakesOf(row.err)) })
	}
}

// outputs counts what libbeat is handed, and refuses what a test wants it to.
type outputs struct {
	handed  []string
	refusal error
}

func (o *outputs) Reload(c *reload.ConfigWithMeta) error {
	o.handed = append(o.handed, strings.Join(c.Config.FlattenedKeys(), " "))
	return o.refusal
}

// modules likewise.
type modules struct {
	handed  [][]*reload.ConfigWithMeta
	refusal error
}

func (m *modules) Reload(list []*reload.ConfigWithMeta) error {
	m.handed = append(m.handed, list)
	if m.refusal == nil {
		for _, c := range list {
			c.StatusReporter.UpdateStatus(status.Running, "")
		}
	}
	return m.refusal
}

// applying makes a Beat without a connection, whose policies a test applies one by one.
func applying(t *testing.T, s settings) (*Beat, *outputs, *modules) {
	registry := reload.NewRegistry()
	o, m := &outputs{}, &modules{}
	require.NoError(t, registry.Register(reload.OutputRegName, o))
	require.NoError(t, registry.RegisterList(reload.InputRegName, m))
	return newBeat("0.1.0", s, &wire.StartUp{}, registry, logp.NewNopLogger()), o, m
}

func (b *Beat) stateOf(t *testing.T, unit string) (state, message string) {
	t.Helper()
	for _, u := range b.Observed().Units {
		if u.Id == unit {
			return name(u.State), u.Message
		}
	}
	t.Fatalf("no unit %s is observed", unit)
	return "", ""
}

func expected(kind wire.Kind, id string, index uint64, config *wire.Configuration) *wire.ExpectedUnit {
	return &wire.ExpectedUnit{
		Id: id, Kind: kind, Index: index, Configuration: config,
		State: wire.State_STATE_HEALTHY, Level: wire.Level_LEVEL_INFO,
	}
}

// TestOnlyWhatChangesIsHandedOver applies the same policy twice, then what changes of it.
func TestOnlyWhatChangesIsHandedOver(t *testing.T) {
	b, o, m := applying(t, settings{})
	file := &wire.Configuration{Id: "out", Type: "file"}
	input := func() *wire.Configuration {
		return &wire.Configuration{Id: "in", Type: "reconbeat", Streams: []*wire.Stream{{Id: "s"}}}
	}
	all := func(index uint64, output, in *wire.Configuration) *wire.Expected {
		return &wire.Expected{Units: []*wire.ExpectedUnit{
			expected(wire.Kind_KIND_OUTPUT, "out", index, output), expected(wire.Kind_KIND_INPUT, "in", index, in),
		}}
	}
	b.Expect(all(1, file, input()))
	require.False(t, b.apply())
	state, message := b.stateOf(t, "in")
	require.Equal(t, "HEALTHY Healthy", state+" "+message)
	<-b.wanted
	b.Expect(all(1, nil, nil)) // the Agent says by the number alone that nothing has changed
	again := all(1, file, input())
	slices.Reverse(again.Units)
	b.Expect(again) // or says all of it again
	require.Empty(t, b.wanted, "there is nothing to apply")
	b.Expect(all(2, file, input()))
	require.False(t, b.apply())
	require.Len(t, o.handed, 1)
	require.Len(t, m.handed, 1)
	require.EqualValues(t, 2, b.Observed().Units[1].Index)

	t.Log("a mistake fails the unit, and the same policy is handed over again when it is tried again")
	m.refusal = fmt.Errorf("again: %w", &common.ErrInputNotFinished{})
	m.refusal = errors.Join(m.refusal, cfgfile.UnitError{UnitID: "in", Err: errors.New("a mistake")})
	changed := input()
	changed.Streams = append(changed.Streams, &wire.Stream{Id: "t"})
	b.Expect(all(3, nil, changed))
	require.True(t, b.apply(), "it is tried again")
	state, message = b.stateOf(t, "in")
	require.Equal(t, "FAILED a mistake", state+" "+message)
	m.refusal = nil
	require.False(t, b.apply())
	require.Len(t, m.handed, 3)
	state, _ = b.stateOf(t, "in")
	require.Equal(t, "HEALTHY", state)

	t.Log("a bare error is a mistake, too")
	m.refusal = errors.New("everything is wrong")
	b.Expect(all(4, nil, input()))
	require.False(t, b.apply())
	_, message = b.stateOf(t, "in")
	require.Equal(t, "everything is wrong", message)
	m.refusal = nil

	t.Log("without a restart, another output is handed over at once")
	b.Expect(all(5, &wire.Configuration{Id: "out", Type: "console"}, input()))
	require.False(t, b.apply())
	require.Len(t, o.handed, 2)

	t.Log("an output that is refused is tried again")
	o.refusal = errors.New("no such host")
	b.Expect(all(6, &wire.Configuration{Id: "out", Type: "redis"}, nil))
	require.True(t, b.apply())
	state, message = b.stateOf(t, "out")
	require.Equal(t, "FAILED setting the output: no such host", state+" "+message)
	o.refusal = nil
	require.False(t, b.apply())
	state, _ = b.stateOf(t, "out")
	require.Equal(t, "HEALTHY", state)
}

// TestAnInputThatCannotBeReadStopsAllOthers has one input without streams: no input of the policy is applied.
func TestAnInputThatCannotBeReadStopsAllOthers(t *testing.T) {
	b, _, m := applying(t, settings{})
	good := &wire.Configuration{Id: "good", Streams: []*wire.Stream{{Id: "s"}}}
	b.Expect(&wire.Expected{Units: []*wire.ExpectedUnit{
		expected(wire.Kind_KIND_INPUT, "good", 1, good),
		expected(wire.Kind_KIND_INPUT, "bad", 1, &wire.Configuration{Id: "bad"}),
	}})
	require.False(t, b.apply())
	require.Empty(t, m.handed)
	for _, id := range []string{"good", "bad"} {
		state, message := b.stateOf(t, id)
		require.Equal(t, `FAILED the policy is not applied, and nothing is watched: input "bad" has no streams; each stream `+
			`is a module`, state+" "+message)
	}
	b.Expect(&wire.Expected{Units: []*wire.ExpectedUnit{expected(wire.Kind_KIND_INPUT, "good", 2, good)}})
	require.False(t, b.apply())
	state, _ := b.stateOf(t, "good")
	require.Equal(t, "HEALTHY", state)
}

// TestAConfigurationThatWasNotSentIsAskedFor has the Agent name a configuration by a number that is not known.
func TestAConfigurationThatWasNotSentIsAskedFor(t *testing.T) {
	b, _, m := applying(t, settings{})
	b.Expect(&wire.Expected{Units: []*wire.ExpectedUnit{expected(wire.Kind_KIND_INPUT, "in", 7, nil)}})
	require.False(t, b.apply())
	require.Empty(t, m.handed)
	require.Zero(t, b.Observed().Units[0].Index, "the Agent sends what is not observed")
}

// TestAUnitThatGoesAndComesAtOnce has a unit go and come back before that is applied: its stream still speaks for it.
func TestAUnitThatGoesAndComesAtOnce(t *testing.T) {
	b, _, m := applying(t, settings{})
	in := &wire.Expected{Units: []*wire.ExpectedUnit{
		expected(wire.Kind_KIND_INPUT, "in", 1, &wire.Configuration{Id: "in", Streams: []*wire.Stream{{Id: "s"}}}),
	}}
	b.Expect(in)
	require.False(t, b.apply())
	b.Expect(&wire.Expected{})
	b.Expect(in)
	require.False(t, b.apply())
	require.Len(t, m.handed, 1)
	m.handed[0][0].StatusReporter.UpdateStatus(status.Degraded, "ring full")
	state, message := b.stateOf(t, "in")
	require.Equal(t, "DEGRADED ring full", state+" "+message)
}

// TestAnotherOutputEndsTheBeat has the Beat end once, whatever comes then.
func TestAnotherOutputEndsTheBeat(t *testing.T) {
	b, o, _ := applying(t, settings{RestartOnOutputChange: true})
	ended := make(chan struct{}, 2)
	b.SetStopCallback(func() { ended <- struct{}{} })
	for index, kind := range []string{"file", "console", "redis"} {
		b.Expect(&wire.Expected{Units: []*wire.ExpectedUnit{
			expected(wire.Kind_KIND_OUTPUT, "out", uint64(index+1), &wire.Configuration{Id: "out", Type: kind}),
		}})
		require.False(t, b.apply())
	}
	<-ended
	require.Len(t, o.handed, 1)
	state, _ := b.stateOf(t, "out")
	require.Equal(t, "STOPPING", state)
	require.Empty(t, ended)
}
