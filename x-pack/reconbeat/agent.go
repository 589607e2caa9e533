// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/elastic/beats/v7/libbeat/common/reload"
	"github.com/elastic/beats/v7/libbeat/management"
	"github.com/elastic/beats/v7/libbeat/version"
	xpack "github.com/elastic/beats/v7/x-pack/libbeat/management"
	"github.com/elastic/elastic-agent-client/v7/pkg/client"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
)

// connect makes libbeat's manager from what the Agent wrote to standard input. It is xpack.NewV2AgentManager with a
// client that survives the end of its output.
func connect(c *conf.C, registry *reload.Registry, logger *logp.Logger) (management.Manager, error) {
	settings := xpack.DefaultConfig()
	if err := c.Unpack(settings); err != nil {
		return nil, fmt.Errorf("reading the settings of management: %w", err)
	}
	if settings.InsecureGRPCURLForTesting != "" {
		return nil, errors.New(
			"management.insecure_grpc_url_for_testing is not allowed; reconbeat talks to the Agent as the Agent says " +
				"on standard input",
		)
	}
	agent, services, err := client.NewV2FromReader(os.Stdin, client.VersionInfo{
		Name: "reconbeat", BuildHash: version.Commit(),
		Meta: map[string]string{"commit": version.Commit(), "build_time": version.BuildTime().String()},
	})
	if err != nil {
		return nil, fmt.Errorf("reading from standard input how the Elastic Agent is reached: %w", err)
	}
	logger.Named("management").Debugf("the Elastic Agent offers the services %v", services)
	management.SetUnderAgent(true)
	watched := &watchedClient{
		V2:       agent,
		logger:   logger.Named("management"),
		changes:  make(chan client.UnitChanged),
		stopping: make(chan struct{}),
	}
	manager, err := xpack.NewV2AgentManagerWithClient(settings, registry, watched, logger)
	if err != nil {
		return nil, fmt.Errorf("making libbeat's manager: %w", err)
	}
	return manager, nil
}

// watchedClient is the Agent's client, except that the end of the output ends reconbeat in order, as the Agent's
// SIGTERM does: libbeat's manager panics when its output unit is to be stopped (managerV2.reload sets the state of a
// unit that it has not found). Without an output nothing could ship; what is pending is in the journal.
type watchedClient struct {
	client.V2
	logger   *logp.Logger
	changes  chan client.UnitChanged
	stopping chan struct{}
}

// Start connects, and begins to look at the changes of units.
func (w *watchedClient) Start(ctx context.Context) error {
	if err := w.V2.Start(ctx); err != nil {
		return fmt.Errorf("connecting to the Elastic Agent: %w", err)
	}
	go func() {
		for change := range w.V2.UnitChanges() {
			if change.Type != client.UnitChangedRemoved && change.Unit.Type() == client.UnitTypeOutput &&
				change.Unit.Expected().State == client.UnitStateStopped {
				w.logger.Info("the policy has no output any more; reconbeat ends, and keeps what it has not shipped")
				_ = change.Unit.UpdateState(client.UnitStateStopping, "Stopping", nil)
				if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
					w.logger.Errorf("ending reconbeat: %v", err)
				}
				continue
			}
			select {
			case w.changes <- change:
			case <-w.stopping: // the manager no longer listens; the client must not wait for it
			}
		}
	}()
	return nil
}

// Stop disconnects. The manager calls it once.
func (w *watchedClient) Stop() {
	close(w.stopping)
	w.V2.Stop()
}

// UnitChanges returns the changes that are the manager's.
func (w *watchedClient) UnitChanges() <-chan client.UnitChanged { return w.changes }
