// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/outputs"
	"github.com/elastic/beats/v7/libbeat/publisher"
	"github.com/elastic/elastic-agent-libs/config"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// terminal is the libbeat output behind `watch`: what it shows has gone the whole way, through queue and processors.
type terminal struct {
	observer outputs.Observer
	screen   *screen
	gone     sync.Once // nobody reads any more
	stop     func()    // ends the Beat
}

type terminalConfig struct {
	Format string           `config:"format"`
	Queue  config.Namespace `config:"queue"`
}

// newTerminal makes an output group of one terminal, on standard output.
func newTerminal(s *screen) outputs.Factory {
	return func(_ outputs.IndexManager, info beat.Info, observer outputs.Observer, cfg *config.C) (outputs.Group,
		error) {
		c := terminalConfig{Format: formatTable}
		if err := cfg.Unpack(&c); err != nil {
			return outputs.Fail(fmt.Errorf("reading output.terminal: %w", err))
		}
		if c.Format != formatTable && c.Format != formatNDJSON {
			return outputs.Fail(
				fmt.Errorf("output.terminal.format: %q is not allowed; it must be table or ndjson", c.Format))
		}
		s.draw(c.Format, term.IsTerminal(int(os.Stdout.Fd())))
		return outputs.Success(c.Queue, -1, 0, nil, info.Logger,
			&terminal{observer: observer, screen: s, stop: interrupt})
	}
}

// interrupt ends this process as ctrl-C does.
func interrupt() { _ = unix.Kill(os.Getpid(), unix.SIGINT) }

func (t *terminal) Publish(_ context.Context, batch publisher.Batch) error {
	events := batch.Events()
	t.observer.NewBatch(len(events))
	for i := range events {
		if err := t.screen.show(&events[i].Content); err != nil {
			batch.Cancelled()
			t.gone.Do(t.stop)
			return fmt.Errorf("writing to the terminal: %w", err)
		}
	}
	batch.ACK()
	t.observer.AckedEvents(len(events))
	return nil
}

func (t *terminal) Close() error   { return nil }
func (t *terminal) String() string { return "terminal" }
