// SPDX-License-Identifier: Apache-2.0

// Package managed is libbeat's management of a Beat that an Elastic Agent runs, in code of our own: it applies the
// policies that the Agent sends, through what the Beat has registered for reload, and says how each unit is.
//
//	connection ──> Expect: the newest policy ──> apply, one after the other ──> output, modules
//	connection <── Observed: the units' states <── status reporters, what was wrong
//
// Elastic's own (x-pack/libbeat/management) is under a licence that allows no production use.
package managed

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/elastic/beats/v7/libbeat/common/reload"
	"github.com/elastic/beats/v7/libbeat/management"
	"github.com/elastic/beats/v7/libbeat/management/status"
	"github.com/elastic/beats/v7/libbeat/version"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"golang.org/x/term"

	"github.com/reconbeat/reconbeat/internal/agent"
	"github.com/reconbeat/reconbeat/internal/agent/wire"
)

// settings are those of `management` that an Agent's arguments have. libbeat reads whether it is enabled.
type settings struct {
	// RestartOnOutputChange ends the Beat when the output changes, for the Agent to start it again. libbeat's queue
	// takes one kind of output in its life.
	RestartOnOutputChange bool   `config:"restart_on_output_change"`
	Insecure              string `config:"insecure_grpc_url_for_testing"`
}

// Beat is a Beat that an Agent runs, as libbeat's management sees it.
type Beat struct {
	settings settings
	version  string // of the Beat
	start    *wire.StartUp
	registry *reload.Registry
	logger   *logp.Logger
	logged   *recent       // the last that was logged
	wanted   chan struct{} // there is something to apply
	done     chan struct{} // closed when nothing is applied any more
	stop     sync.Once
	applying sync.WaitGroup
	applied  applied // of the goroutine that applies

	profileFor time.Duration // how long a CPU profile measures

	mu         sync.Mutex
	connection *agent.Connection
	units      []*unit
	whole      report // what the Beat says of all its units
	features   numbered[*wire.Features]
	component  numbered[*wire.Component]
	ending     bool // the Beat is about to end: no policy changes that
	payload    map[string]any
	hooks      []hook
	actions    map[string]management.Action
	ended      func()
	rendered   []byte // the configuration in force, without its secrets
}

// numbered is something that the Agent sends once, and says by its number from then on.
type numbered[T any] struct {
	value    T
	index    uint64 // of the value
	observed uint64 // which has been applied
}

// Factory makes the management of a Beat of this version from what an Agent has written to standard input.
func Factory(version string) management.ManagerFactory {
	return func(c *conf.C, registry *reload.Registry, logger *logp.Logger) (management.Manager, error) {
		s, start, err := read(c)
		if err != nil {
			return nil, err
		}
		return newBeat(version, s, start, registry, logger), nil
	}
}

// read reads what the Agent says on the command line and on standard input.
func read(c *conf.C) (s settings, start *wire.StartUp, err error) {
	if err := c.Unpack(&s); err != nil {
		return s, nil, fmt.Errorf("reading the settings of management: %w", err)
	}
	switch {
	case !management.UnderAgent():
		return s, nil, errors.New("management.enabled is not allowed in a file; an Elastic Agent that runs reconbeat sets " +
			"it on the command line")
	case s.Insecure != "":
		return s, nil, errors.New("management.insecure_grpc_url_for_testing is not allowed; reconbeat talks to the Agent " +
			"as the Agent says on standard input")
	case term.IsTerminal(int(os.Stdin.Fd())):
		return s, nil, errors.New("management.enabled=true is for an Elastic Agent, which says on standard input how it is " +
			"reached; standard input is a terminal")
	}
	start, err = agent.ReadStart(os.Stdin)
	return s, start, err
}

func newBeat(version string, s settings, start *wire.StartUp, registry *reload.Registry, logger *logp.Logger) *Beat {
	logged := keepRecent(logger)
	return &Beat{
		settings: s, version: version, start: start, registry: registry,
		logger: logger.Named("management"), logged: logged, profileFor: usualProfile,
		wanted: make(chan struct{}, 1), done: make(chan struct{}), actions: map[string]management.Action{},
	}
}

// Enabled is true: an Agent is in charge.
func (b *Beat) Enabled() bool { return true }

// AgentInfo is which Agent is in charge.
func (b *Beat) AgentInfo() management.AgentInfo {
	about := b.start.GetAgent()
	mode := management.AgentManagedMode_MANAGED
	if about.GetMode() == wire.Mode_MODE_STANDALONE {
		mode = management.AgentManagedMode_STANDALONE
	}
	return management.AgentInfo{
		ID: about.GetId(), Version: about.GetVersion(), Snapshot: about.GetSnapshot(), ManagedMode: mode,
		Unprivileged: about.GetUnprivileged(),
	}
}

// Start connects to the Agent, from where the policies come.
func (b *Beat) Start() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var err error
	b.connection, err = agent.Connect(b.start, &wire.Version{
		Name: "reconbeat", Commit: version.Commit(),
		Meta: map[string]string{
			"version": b.version, "commit": version.Commit(), "build_time": version.BuildTime().String(),
		},
	}, b, b.logger)
	if err != nil {
		return err
	}
	b.applying.Go(b.run)
	return nil
}

// Stop says that the units stop, and disconnects. No policy is applied from then on.
func (b *Beat) Stop() {
	b.stop.Do(func() {
		close(b.done)
		b.applying.Wait()
		b.mu.Lock()
		for _, u := range b.units {
			u.end()
		}
		connection, ended := b.connection, b.ended
		b.mu.Unlock()
		if connection != nil {
			connection.Close()
		}
		if ended != nil {
			ended()
		}
	})
}

// SetStopCallback takes what ends the Beat.
func (b *Beat) SetStopCallback(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = f
}

// CheckRawConfig finds nothing wrong: what a configuration must not have under an Agent, the Beat knows itself.
func (b *Beat) CheckRawConfig(*conf.C) error { return nil }

// RegisterAction takes an action that the Agent may ask for by name.
func (b *Beat) RegisterAction(a management.Action) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.actions[a.Name()] = a
}

// UnregisterAction takes an action back.
func (b *Beat) UnregisterAction(a management.Action) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.actions, a.Name())
}

// SetPayload takes what every unit says beside its state.
func (b *Beat) SetPayload(payload map[string]any) {
	var plain map[string]any // of the types that can be sent
	text, err := json.Marshal(payload)
	if err == nil {
		err = json.Unmarshal(text, &plain)
	}
	if err != nil {
		b.logger.Errorf("what the units are to say beside their states cannot be said: %v", err)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.payload = plain
	b.changed()
}

// RegisterDiagnosticHook takes a file of the diagnostics.
func (b *Beat) RegisterDiagnosticHook(name, description, file, contentType string, content management.DiagnosticHook) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hooks = append(b.hooks, hook{name, description, file, contentType, content})
}

// UpdateStatus takes what the Beat says of itself, which is true of each of its units.
func (b *Beat) UpdateStatus(s status.Status, message string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.whole = report{s, message}
	b.changed()
}

// changed has what is observed go out; the lock is held. Before there is a connection, nobody hears.
func (b *Beat) changed() {
	if b.connection != nil {
		b.connection.Changed()
	}
}

// Expect implements agent.Component: it takes what shall be. Whatever was expected before and has not been applied yet
// is skipped. An Agent says all of it again in answer to every observation in which a unit is not what it shall be, in
// whichever order; only news is applied, or the two would never stop.
func (b *Beat) Expect(all *wire.Expected) {
	b.mu.Lock()
	defer b.mu.Unlock()
	news := b.features.expect(all.Features, all.FeaturesIndex, all.Features != nil)
	news = b.component.expect(all.Component, all.ComponentIndex, all.Component != nil) || news
	units := make([]*unit, 0, len(all.Units))
	for _, expected := range all.Units {
		i := slices.IndexFunc(b.units, func(u *unit) bool { return u.id == expected.Id && u.kind == expected.Kind })
		u := &unit{id: expected.Id, kind: expected.Kind, phase: wire.State_STATE_STARTING, changing: true}
		if i >= 0 {
			u = b.units[i]
		}
		changed, known := u.expect(expected)
		news = news || changed || i < 0
		if !known {
			b.logger.Errorf("the Elastic Agent names configuration %d of unit %s, and has not sent it; that is asked for",
				expected.Index, expected.Id)
		}
		units = append(units, u)
	}
	news = news || len(units) != len(b.units)
	slices.SortFunc(units, func(a, b *unit) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.id, b.id)) })
	b.units = units
	if !news {
		return
	}
	select {
	case b.wanted <- struct{}{}:
	default: // it is the newest that is applied
	}
}

// expect takes what the Agent sends: the value, or only its number where it is known. It reports whether that is news.
func (n *numbered[T]) expect(value T, index uint64, given bool) (news bool) {
	news = index != n.index
	if given || news {
		n.value, n.index = value, index
	}
	return news
}

// Observed implements agent.Component: it is how the units are.
func (b *Beat) Observed() *wire.Observed {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := &wire.Observed{FeaturesIndex: b.features.observed, ComponentIndex: b.component.observed}
	for _, u := range b.units {
		all.Units = append(all.Units, u.observed(b.whole, b.payload))
	}
	return all
}
