// SPDX-License-Identifier: Apache-2.0

package habit

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// underAlert learns a match under an alert.
func underAlert(m *Model, alert string, at time.Time) Result {
	l := matchOf(service(at, "www-data", "sh", "ss -tunap"))
	r := m.Judge(&l)
	m.Learn(&l, r, Lesson{Alerted: true, Daily: true, Alert: alert})
	return r
}

// knownAgent is a model that knows an agent for sixty days.
func knownAgent() *Model {
	m := New(options)
	for day := range 60 {
		matched(m, service(monday.AddDate(0, 0, day), "zabbix", "zabbix_agentd", "ss -s"))
	}
	return m
}

// What is taken out and put back survives a snapshot in between, a changed half-life, and the actor being forgotten.
func TestWhatAnAlertTaughtIsTakenOutAndPutBack(t *testing.T) {
	at := monday.AddDate(0, 0, 60)
	for name, between := range map[string]func(m *Model) *Model{
		"at once": func(m *Model) *Model { return m },
		"after a restart": func(m *Model) *Model {
			text, err := json.Marshal(m.Snapshot())
			require.NoError(t, err)
			var s Snapshot
			require.NoError(t, json.Unmarshal(text, &s))
			m, err = Restore(options, s)
			require.NoError(t, err)
			return m
		},
		"with another half-life": func(m *Model) *Model { m.SetHalfLife(7 * day); return m },
	} {
		t.Run(name, func(t *testing.T) {
			m := knownAgent()
			first := underAlert(m, "a", at)
			underAlert(m, "a", at.AddDate(0, 0, 1))
			m.Advance(at.AddDate(0, 0, 2))
			taught := underAlert(m, "a", at.AddDate(0, 0, 2))
			require.Less(t, taught.Surprise, first.Surprise)
			m.Advance(at.AddDate(0, 0, 3))
			m = between(m)
			require.Equal(t, 2, m.Actors())
			require.True(t, m.Withdraw("a"))
			require.False(t, m.Withdraw("a"), "once")
			require.Equal(t, 1, m.Actors())
			m = between(m)
			l := matchOf(service(at.AddDate(0, 0, 3), "www-data", "sh", "ss -tunap"))
			require.True(t, m.Judge(&l).New)
			require.InDelta(t, first.Surprise, m.Judge(&l).Surprise, 0.5)
			require.True(t, m.Reinstate("a"))
			require.Equal(t, 2, m.Actors())
			back := m.Judge(&l)
			require.False(t, back.New)
			require.Less(t, back.Surprise, first.Surprise)
			require.True(t, m.Adopt("a", 5, at.AddDate(0, 0, 3)))
			require.False(t, m.Adopt("a", 5, at.AddDate(0, 0, 3)), "once")
			require.Less(t, m.Judge(&l).Surprise, back.Surprise)
			require.True(t, m.Disown("a"))
			require.InDelta(t, back.Surprise, m.Judge(&l).Surprise, 1e-6)
			require.False(t, m.Disown("a"))
			m.Forget("www-data")
			require.False(t, m.Traces("a"), "who is forgotten leaves no trace")
		})
	}
}

// The oldest trace goes first; what is invalid in a snapshot is refused.
func TestTracesAreBoundedAndChecked(t *testing.T) {
	m := knownAgent()
	for i := range maxTraces + 5 {
		underAlert(m, fmt.Sprint(i), monday.AddDate(0, 0, 60+i))
		m.Advance(monday.AddDate(0, 0, 60+i).Add(time.Hour))
	}
	require.Len(t, m.traces, maxTraces)
	require.False(t, m.Traces("4"))
	require.True(t, m.Traces("5"))
	for name, damage := range map[string]func(*trace){
		"class": func(t *trace) { t.Class = classes },
		"days":  func(t *trace) { t.Days = -1 },
		"how":   func(t *trace) { t.How = arrivals },
		"kind":  func(t *trace) { t.Kind = kinds },
		"came":  func(t *trace) { t.Welcome = &welcome{Came: -1} },
	} {
		t.Run(name, func(t *testing.T) {
			s := m.Snapshot()
			damaged := *s.Traces[0].Of
			damage(&damaged)
			s.Traces = []traceOf{{"a", &damaged}}
			_, err := Restore(options, s)
			require.ErrorContains(t, err, `what was learned under alert "a"`)
		})
	}
}
