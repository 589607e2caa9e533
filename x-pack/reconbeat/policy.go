// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/elastic/beats/v7/libbeat/common/reload"
	"github.com/elastic/elastic-agent-client/v7/pkg/client"
	"github.com/elastic/elastic-agent-client/v7/pkg/proto"
	protobuf "google.golang.org/protobuf/proto"

	"github.com/reconbeat/reconbeat/internal/agent/wire"
	"github.com/reconbeat/reconbeat/internal/managed"
)

// modules makes of an input of the Agent's policy its modules, as reconbeat's own management does: the library's
// message and ours are the same bytes.
func modules(input *proto.UnitExpectedConfig, _ *client.AgentInfo) ([]*reload.ConfigWithMeta, error) {
	sent, err := protobuf.Marshal(input)
	if err != nil {
		return nil, fmt.Errorf("writing input %q: %w", input.GetId(), err)
	}
	ours := &wire.Configuration{}
	if err := protobuf.Unmarshal(sent, ours); err != nil {
		return nil, fmt.Errorf("reading input %q: %w", input.GetId(), err)
	}
	return managed.Modules(ours)
}
