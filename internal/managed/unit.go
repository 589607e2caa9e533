// SPDX-License-Identifier: Apache-2.0

package managed

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/elastic/beats/v7/libbeat/management/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/reconbeat/reconbeat/internal/agent/wire"
)

// longestMessage is where the message of a unit is cut: everything that is wrong with a policy may be much.
const longestMessage = 32 << 10

// unit is an input or an output of the policy: what it shall be, and how it is. The Beat's lock guards it.
type unit struct {
	id   string
	kind wire.Kind

	// What the Agent wants.
	want   wire.State
	level  wire.Level
	config *wire.Configuration
	index  uint64 // of the configuration

	// What is.
	seen     uint64 // the index of the configuration that the state is about
	phase    wire.State
	changing bool // it is in that phase, on its way to a state; else what is wrong and what its streams report holds
	wrong    string
	streams  []*stream
}

// report is a state with its reason.
type report struct {
	status status.Status
	reason string
}

// states are the Agent's words for libbeat's, which say the same.
var states = map[status.Status]wire.State{
	status.Unknown:     wire.State_STATE_STARTING,
	status.Starting:    wire.State_STATE_STARTING,
	status.Configuring: wire.State_STATE_CONFIGURING,
	status.Running:     wire.State_STATE_HEALTHY,
	status.Degraded:    wire.State_STATE_DEGRADED,
	status.Failed:      wire.State_STATE_FAILED,
	status.Stopping:    wire.State_STATE_STOPPING,
	status.Stopped:     wire.State_STATE_STOPPED,
}

// name is how people read a state.
func name(s wire.State) string { return strings.TrimPrefix(s.String(), "STATE_") }

// sentence is what a unit says that has nothing else to say.
func sentence(s wire.State) string {
	n := name(s)
	return n[:1] + strings.ToLower(n[1:])
}

// expect takes what the Agent wants of the unit. It reports whether that is news, and whether the configuration is
// known.
func (u *unit) expect(e *wire.ExpectedUnit) (news, known bool) {
	news = u.want != e.State || u.level != e.Level
	u.want, u.level = e.State, e.Level
	if e.Configuration != nil && (u.index != e.Index || !proto.Equal(u.config, e.Configuration)) {
		u.config, u.index, news = e.Configuration, e.Index, true
	}
	return news, u.config != nil && u.index == e.Index || e.State == wire.State_STATE_STOPPED
}

// begin says that what the Agent wants is being applied.
func (u *unit) begin() {
	switch {
	case u.want == wire.State_STATE_STOPPED:
		u.phase = wire.State_STATE_STOPPING
	case u.seen == 0:
		u.phase = wire.State_STATE_STARTING
	default:
		u.phase = wire.State_STATE_CONFIGURING
	}
	u.changing, u.seen = true, u.index
}

// settle says that it has been applied, or what is wrong.
func (u *unit) settle(stopped bool, wrong string) {
	u.changing, u.wrong = false, wrong
	if stopped && wrong == "" {
		u.changing, u.phase, u.streams = true, wire.State_STATE_STOPPED, nil
	}
}

// end says that the Beat ends. What the Agent has not asked to stop will be started again.
func (u *unit) end() {
	u.changing, u.phase = true, wire.State_STATE_STOPPING
	if u.want == wire.State_STATE_STOPPED {
		u.phase = wire.State_STATE_STOPPED
	}
}

// state is how the unit is, and why: the worst of what is wrong with it, with the whole Beat, and with its streams.
func (u *unit) state(whole report) (wire.State, string) {
	if u.changing {
		return u.phase, sentence(u.phase)
	}
	if u.wrong != "" {
		return wire.State_STATE_FAILED, cut(u.wrong)
	}
	reports := []report{}
	if whole.status != status.Unknown {
		reports = append(reports, whole)
	}
	for _, s := range u.streams {
		reports = append(reports, s.get())
	}
	worst := wire.State_STATE_HEALTHY
	var reasons []string
	for _, r := range reports {
		s := states[r.status]
		if s == wire.State_STATE_HEALTHY {
			continue
		}
		if severity(s) > severity(worst) {
			worst = s
		}
		if r.reason != "" && !slices.Contains(reasons, r.reason) {
			reasons = append(reasons, r.reason)
		}
	}
	if len(reasons) == 0 {
		return worst, sentence(worst)
	}
	return worst, cut(strings.Join(reasons, "; "))
}

// severity orders states: what is wrong before what passes.
func severity(s wire.State) int {
	switch s {
	case wire.State_STATE_FAILED:
		return 3
	case wire.State_STATE_DEGRADED:
		return 2
	case wire.State_STATE_HEALTHY:
		return 0
	}
	return 1
}

func cut(text string) string { return cutTo(text, longestMessage) }

// cutTo cuts a text that is longer than so many bytes, between two characters.
func cutTo(text string, end int) string {
	if len(text) <= end {
		return text
	}
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + " ..."
}

// observed is what the Agent hears of the unit.
func (u *unit) observed(whole report, payload map[string]any) *wire.ObservedUnit {
	o := &wire.ObservedUnit{Id: u.id, Kind: u.kind, Index: u.seen}
	o.State, o.Message = u.state(whole)
	o.Message = strings.ToValidUTF8(o.Message, "�")
	about := map[string]any{}
	maps.Copy(about, payload)
	if len(u.streams) > 0 {
		streams := map[string]any{}
		for _, s := range u.streams {
			r := s.get()
			streams[s.id] = map[string]any{"status": name(states[r.status]), "error": strings.ToValidUTF8(cut(r.reason), "�")}
		}
		about["streams"] = streams
	}
	if len(about) > 0 {
		// What cannot be said is left out: a payload is for people to read.
		o.Payload, _ = structpb.NewStruct(about)
	}
	return o
}

// stream is one of an input's, as the module behind it reports. It has a lock of its own, because modules report while
// a policy is being applied.
type stream struct {
	id      string
	changed func()

	mu   sync.Mutex
	last report
}

// UpdateStatus implements status.StatusReporter.
func (s *stream) UpdateStatus(now status.Status, reason string) {
	s.mu.Lock()
	s.last = report{now, reason}
	s.mu.Unlock()
	s.changed()
}

func (s *stream) get() report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}
