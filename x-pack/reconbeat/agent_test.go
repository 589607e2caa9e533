// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/elastic/elastic-agent-client/v7/pkg/proto"
	"github.com/stretchr/testify/require"
	protobuf "google.golang.org/protobuf/proto"
)

// output is the policy's output: a file.
func (h *host) output(a *agent, name string) *proto.UnitExpected {
	return a.unit(proto.UnitType_OUTPUT,
		fmt.Sprintf("{id: out, type: file, path: %q, filename: %s, permissions: 0600}", h.dir, name))
}

// TestAPolicyMayComeInPieces has policies, and what is observed, be larger than a message, and parted by the library.
func TestAPolicyMayComeInPieces(t *testing.T) { eachManagement(t, aPolicyMayComeInPieces) }

func aPolicyMayComeInPieces(t *testing.T, h *host) {
	t.Parallel()
	a := newAgent(t, 2<<10)
	r := h.start(a)
	units := []*proto.UnitExpected{h.output(a, "out")}
	for i := range 20 {
		units = append(units, a.unit(proto.UnitType_INPUT, fmt.Sprintf(
			"{id: in-%d, type: reconbeat, streams: [{id: stream-%d, module: ndjson, paths: [%q]}]}", i, i, h.input())))
	}
	require.Greater(t, protobuf.Size(&proto.CheckinExpected{Units: units}), 2*a.limit)
	a.expect(units...)
	for i := range 20 {
		a.wait(r, fmt.Sprint("in-", i), "HEALTHY", "Healthy")
	}
	a.expect(units[:2]...)
	a.wait(r, "in-0", "HEALTHY", "Healthy")
	require.NoError(t, r.signal(syscall.SIGTERM))
}
