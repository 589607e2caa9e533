// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/agenttest"
)

// replayed is the reconbeat with Elastic's management that a recorded session is replayed to.
type replayed struct {
	*run
	h *host
}

// Start implements agenttest.Program.
func (p *replayed) Start(standardInput []byte) {
	c := p.h.command(readSpecification(p.h.t).Inputs[0].Command.Args...)
	c.Stdin = bytes.NewReader(standardInput)
	r := p.h.Host.Start(c)
	p.run = &run{Run: r, h: p.h, log: r.Log}
}

// End implements agenttest.Program.
func (p *replayed) End() error { return p.signal(syscall.SIGTERM) }

// Answered implements agenttest.Program. Elastic's management has other files.
func (p *replayed) Answered([]string, []string) {}

// TestElasticsManagementObservesTheSame replays what real Agents said: Elastic's management observes what reconbeat's
// own observed when it was recorded.
func TestElasticsManagementObservesTheSame(t *testing.T) {
	for _, version := range agenttest.Sessions(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			for _, name := range []string{"in.ndjson", "in2.ndjson"} {
				require.NoError(t, os.WriteFile(filepath.Join(h.dir, name), nil, 0o600))
			}
			agenttest.Replay(t, version, &replayed{h: h},
				"FOLDER", h.dir, "ELASTICSEARCH", "http://127.0.0.1:1", "OTHER", "http://127.0.0.1:2")
		})
	}
}
