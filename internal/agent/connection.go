// SPDX-License-Identifier: Apache-2.0

// Package agent is the connection of a program to the Elastic Agent that runs it. It reads from standard input how the
// Agent is reached, and from then on says how the program's units are, takes what they shall be, and answers what the
// Agent asks. It knows nothing of what a unit does: that is the Component's.
//
// The Agent may be away, slow, or of another version. A stream that breaks is opened again, and all that is observed
// goes out anew.
package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/elastic/beats/v7/libbeat/common/backoff"
	"github.com/elastic/elastic-agent-libs/logp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/reconbeat/reconbeat/internal/agent/wire"
)

const (
	// checkinEvery is after how long an observation goes out that has not changed. An Agent waits 30 s before it
	// believes that something is wrong.
	checkinEvery = 10 * time.Second
	// A stream that broke is opened again after these times, the longer the more often it breaks.
	firstPause, longestPause = 500 * time.Millisecond, 15 * time.Second
	// lastWords is how long the end waits for the Agent to have heard of it.
	lastWords = time.Second
)

// Component is what the Agent runs.
type Component interface {
	// Expect takes all that shall be. It is called from one goroutine, and must not wait.
	Expect(*wire.Expected)
	// Observed is all that is. The connection adds what it knows itself.
	Observed() *wire.Observed
	// Act does what the Agent asks, or says why not: status, result and diagnostics of the answer. It is called from
	// one goroutine, and may take its time.
	Act(context.Context, *wire.ActionRequest) *wire.ActionResponse
}

// Connection is a program's connection to its Agent, for as long as the program runs.
type Connection struct {
	start     *wire.StartUp
	version   *wire.Version
	component Component
	logger    *logp.Logger
	conn      *grpc.ClientConn
	changed   chan struct{} // there is news for the Agent
	stopping  chan struct{} // closed when there will be no more
	stop      context.CancelFunc
	once      sync.Once
	running   sync.WaitGroup
}

// Connect connects a component, and returns at once: the Agent may need a while. Close ends it.
func Connect(start *wire.StartUp, version *wire.Version, component Component,
	logger *logp.Logger) (*Connection, error) {
	conn, err := dial(start)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Connection{
		start: start, version: version, component: component, logger: logger, conn: conn, stop: cancel,
		changed: make(chan struct{}, 1), stopping: make(chan struct{}),
	}
	c.running.Go(func() { c.again(ctx, "check-ins", c.checkin) })
	c.running.Go(func() { c.again(ctx, "actions", c.actions) })
	return c, nil
}

// Changed has what is observed go out. It does not wait.
func (c *Connection) Changed() {
	select {
	case c.changed <- struct{}{}:
	default: // it will go out anyway
	}
}

// Close says the last that is observed, if the Agent is there, and disconnects. Nothing is asked of the component any
// more once it returns.
func (c *Connection) Close() {
	c.once.Do(func() {
		close(c.stopping)
		timer := time.AfterFunc(lastWords, c.stop)
		c.running.Wait()
		timer.Stop()
		c.stop()
		if err := c.conn.Close(); err != nil {
			c.logger.Debugf("closing the connection to the Elastic Agent: %v", err)
		}
	})
}

// again opens a stream again and again, until the connection is closed.
func (c *Connection) again(ctx context.Context, name string, stream func(context.Context, func()) error) {
	pause := backoff.NewEqualJitterBackoff(c.stopping, firstPause, longestPause)
	broken := false
	for {
		err := stream(ctx, func() { // the Agent has answered
			pause.Reset()
			if broken {
				c.logger.Infof("the Elastic Agent answers again (%s)", name)
				broken = false
			}
		})
		select {
		case <-c.stopping:
			return
		default:
		}
		if !broken {
			c.logger.Warnf("the Elastic Agent does not answer (%s); what runs goes on, and it is tried again: %v", name, err)
			broken = true
		}
		if !pause.Wait() {
			return
		}
	}
}

// checkin is one stream of check-ins: it says all that is observed at its beginning, whenever that has changed, and
// every few seconds.
func (c *Connection) checkin(ctx context.Context, answered func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := wire.Checkin(ctx, c.conn)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	var listening sync.WaitGroup
	defer listening.Wait()
	defer cancel()
	listening.Go(func() { ended <- c.listen(stream, answered) })
	timer := time.NewTicker(checkinEvery)
	defer timer.Stop()
	var said *wire.Observed
	for due := true; ; {
		observed := c.component.Observed()
		if due || !proto.Equal(observed, said) { // an Agent answers whatever is said
			err = c.say(stream, proto.CloneOf(observed), said == nil)
		}
		said = observed
		if errors.Is(err, io.EOF) { // the stream has ended, and its end has the reason
			err = <-ended
		}
		if err != nil {
			return err
		}
		select {
		case err := <-ended:
			return err
		case <-c.stopping:
			return c.sayLast(stream, ended)
		case <-c.changed:
			due = false
		case <-timer.C:
			due = true
		}
	}
}

// sayLast says the last that is observed, and waits until the Agent has ended the stream, too, or the time for that is
// over.
func (c *Connection) sayLast(stream checkins, ended <-chan error) error {
	if err := c.say(stream, c.component.Observed(), false); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return <-ended
}

// checkins is a stream of them.
type checkins = grpc.BidiStreamingClient[wire.Observed, wire.Expected]

// say sends what is observed; on a new stream also who says it. The observation is the caller's no more.
func (c *Connection) say(stream checkins, observed *wire.Observed, first bool) error {
	observed.Token = c.start.Token
	if first {
		observed.Version = c.version
		observed.Pid = uint64(os.Getpid())
		observed.Abilities = []wire.Ability{wire.Ability_ABILITY_CHUNKS}
	}
	messages := []*wire.Observed{observed}
	if slices.Contains(c.start.Abilities, wire.Ability_ABILITY_CHUNKS) {
		messages = chunks(observed, messageLimit(c.start), time.Now())
	}
	for _, m := range messages {
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}

// listen hands on what is expected until the stream ends.
func (c *Connection) listen(stream checkins, answered func()) error {
	var parts assembly
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		answered()
		if all := parts.add(m); all != nil {
			c.component.Expect(all)
		}
	}
}

// actions is one stream of what the Agent asks.
func (c *Connection) actions(ctx context.Context, answered func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // nothing more is asked when the end has come
		select {
		case <-c.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	stream, err := wire.Actions(ctx, c.conn)
	if err != nil {
		return err
	}
	response := &wire.ActionResponse{Id: wire.FirstResponse, Result: []byte("{}")}
	for {
		response.Token = c.start.Token
		if err := stream.Send(response); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		request, err := stream.Recv() // where the stream has ended, this has the reason
		if err != nil {
			return err
		}
		answered()
		response = c.component.Act(ctx, request)
		response.Id = request.Id
		fit(response, messageLimit(c.start))
	}
}

// fit leaves out the largest files of an answer that is larger than a message may be.
func fit(response *wire.ActionResponse, limit int) {
	for proto.Size(response)+roomForEach > limit && len(response.Diagnostics) > 0 {
		largest := slices.MaxFunc(response.Diagnostics, func(a, b *wire.Diagnostic) int {
			return cmp.Compare(len(a.Content), len(b.Content))
		})
		text := fmt.Sprintf("left out: %d bytes are more than the answer may have\n", len(largest.Content))
		if len(text) >= len(largest.Content) {
			return
		}
		largest.Content, largest.ContentType = []byte(text), "text/plain"
	}
}
