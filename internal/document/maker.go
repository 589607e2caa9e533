// SPDX-License-Identifier: Apache-2.0

package document

import (
	"math/bits"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/common"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/dataset"
	"github.com/reconbeat/reconbeat/internal/host"
	"github.com/reconbeat/reconbeat/internal/host/account"
	"github.com/reconbeat/reconbeat/internal/host/logins"
	"github.com/reconbeat/reconbeat/internal/host/provenance"
	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/process"
)

// Machine is what documents ask the running host.
type Machine interface {
	// Name fills in the names of users known by their ids alone.
	Name(users ...*process.User)
	// Provenance says where the executables of a match, and of its parent, come from. It may wait for as long as
	// provenance.AnswerWait.
	Provenance(e *process.Event) (tool, parent provenance.Executable)
	// Account says what the host's files know of an account. It may wait for as long as account.HomeWait.
	Account(u process.User, at time.Time) account.Account
	// Logins says what the host's history of logins has of an account and an address before a time.
	Logins(name string, from netip.Addr, before time.Time) (logins.Known, error)
	// Port is the port that a login session comes from; false: unknown.
	Port(s *process.Session) (uint16, bool)
}

// Maker makes the documents of what a detector finds. It belongs to the goroutine of its detector and table.
type Maker struct {
	Config   config.Config      // under which names documents ship
	Host     host.Description   // of events that bring no host of their own
	Machine  Machine            // the running host; nil: no host may be asked
	Table    *process.Table     // ancestors, and what else ran
	Detector *detector.Detector // actors, and the techniques of other rules
	Misfits  *atomic.Uint64     // counts what a module's configuration does not fit
	Logger   *logp.Logger

	AccountsUnread *atomic.Uint64 // counts alerts that lack a part of what the host knows of their account
}

// addHost adds this host's description, unless the module has it left out.
func (m *Maker) addHost(fields mapstr.M, from *Source) {
	if len(m.Host.Fields) > 0 && !from.PublisherPipeline.DisableHost {
		fields["host"] = m.Host.Fields.Clone()
	}
}

// address says which data stream a document belongs to.
func (m *Maker) address(fields mapstr.M, kind dataset.Kind) { Address(fields, m.Config, kind) }

// process is a document with what the module's configuration does to it; nil: a processor dropped it.
func (m *Maker) process(doc *beat.Event, from *Source) *beat.Event {
	doc, err := from.process(doc)
	if err != nil {
		m.misfit(from, err)
	}
	return doc
}

// finish says what the output must know: the _id, and where the document goes if not into its data stream.
func (m *Maker) finish(doc *beat.Event, from *Source, id string, keep Keep) *Document {
	if err := from.address(doc); err != nil {
		m.misfit(from, err)
	}
	Identify(doc, id)
	return &Document{Event: *doc, ID: id, Keep: keep}
}

// plain makes of all values of a document those that libbeat's outputs know, as libbeat's pipeline does.
var plain = common.NewGenericEventConverter(true, logp.NewNopLogger())

// misfit counts that a module's configuration does not fit a document, and logs it now and then.
func (m *Maker) misfit(from *Source, err error) {
	if n := m.Misfits.Add(1); seldom(n) {
		m.Logger.Warnf("module %s: %v (%s so far, shipped all the same)", from.ID, err, plural.Of(n, "document"))
	}
}

// seldom is true for 1, 2, 4, 8 ...: what happens with every event is logged that often.
func seldom(n uint64) bool { return bits.OnesCount64(n) == 1 }
