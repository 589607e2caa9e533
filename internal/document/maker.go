// SPDX-License-Identifier: Apache-2.0

package document

import (
	"math/bits"
	"sync/atomic"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/common"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/dataset"
	"github.com/reconbeat/reconbeat/internal/host"
	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/process"
)

// Accounts are those of the running host.
type Accounts interface {
	// Name fills in the names of users known by their ids alone.
	Name(users ...*process.User)
}

// Maker makes the documents of what a detector finds. It belongs to the goroutine of its detector and table.
type Maker struct {
	Config   config.Config      // under which names documents ship
	Host     host.Description   // of events that bring no host of their own
	Accounts Accounts           // of the running host; nil: no host may be asked
	Table    *process.Table     // ancestors, and what else ran
	Detector *detector.Detector // actors, and the techniques of other rules
	Misfits  *atomic.Uint64     // counts what a module's configuration does not fit
	Logger   *logp.Logger
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
