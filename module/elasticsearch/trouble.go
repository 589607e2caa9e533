// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"errors"
	"fmt"
	"time"

	"github.com/elastic/elastic-agent-libs/logp"

	"github.com/reconbeat/reconbeat/ecs"
	"github.com/reconbeat/reconbeat/module"
)

// logEvery is how often the log speaks of documents that cannot be understood; in between they are counted.
const logEvery = time.Minute

// trouble is what was wrong with documents and is not logged yet.
type trouble struct {
	last   error
	count  uint64
	logged time.Time

	strange uint64 // documents of which nothing is understood
	first   string // which was the first of them, and what it is
}

// misunderstood counts a document of which nothing is understood.
func (t *trouble) misunderstood(h *hit, what string) {
	if t.strange++; t.first == "" {
		t.first = place(h) + ", " + what
	}
}

// place is where a document stands, as its URL has it.
func place(h *hit) string { return h.Index + "/_doc/" + h.ID }

// other notes what a document is that is no program start.
func (m *cluster) other(h *hit) {
	what, known := m.decoder.Other()
	if !known {
		m.trouble.misunderstood(h, what)
	}
	if m.env.Other != nil {
		m.env.Other(module.Other{File: h.Index, ID: h.ID, Line: m.env.Stats.Records.Load(), What: what})
	}
}

// malformed notes what is wrong with a document.
func (m *cluster) malformed(h *hit, err error) {
	m.trouble.last = fmt.Errorf("%s: %w", place(h), err)
	m.trouble.count++
	m.trouble.misunderstood(h, err.Error())
	if m.env.Malformed == nil {
		return
	}
	kind := err
	for _, k := range []error{ecs.ErrJSON, ecs.ErrNoObject, ecs.ErrNoTimestamp} {
		if errors.Is(err, k) {
			kind = k
		}
	}
	m.env.Malformed(module.Malformed{
		File: h.Index, ID: h.ID, Line: m.env.Stats.Records.Load(), Kind: kind.Error(), Why: err.Error(), Text: h.Source,
	})
}

// idle logs it when it is time to.
func (t *trouble) idle(logger *logp.Logger) {
	if t.count > 0 && time.Since(t.logged) >= logEvery {
		t.log(logger)
	}
}

func (t *trouble) log(logger *logp.Logger) {
	if t.count == 0 {
		return
	}
	logger.Warnf("%d documents cannot be understood and are passed over, the last: %v", t.count, t.last)
	t.count, t.logged = 0, time.Now()
}
