// SPDX-License-Identifier: Apache-2.0

package managed

import (
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/elastic/elastic-agent-libs/logp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	// recentBytes is how much of the log is kept for the diagnostics, at most: some hundred lines.
	recentBytes = 128 << 10
	// longestLine is where a line of it is cut.
	longestLine = 4 << 10
)

// recent is the last that was logged. The Agent keeps a log of all that it runs, which may have been rotated away by
// the time that somebody asks.
type recent struct {
	mu    sync.Mutex
	lines []string
	bytes int
}

// keepRecent has a Beat's logger, and every one that will be made of it, keep what it logs. libbeat hands its logger to
// the management before it makes anything that logs.
func keepRecent(logger *logp.Logger) *recent {
	r := &recent{}
	*logger = *logger.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return &recorded{Core: core, to: r, encoder: zapcore.NewJSONEncoder(logp.JSONEncoderConfig())}
	}))
	return r
}

// add keeps a line, and lets go of the oldest.
func (r *recent) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
	r.bytes += len(line)
	oldest := 0
	for r.bytes > recentBytes {
		r.bytes -= len(r.lines[oldest])
		oldest++
	}
	r.lines = slices.Delete(r.lines, 0, oldest)
}

// content is all of it, a line each.
func (r *recent) content() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return []byte(strings.Join(r.lines, ""))
}

// recorded is where a logger writes, and keeps what it has written.
type recorded struct {
	zapcore.Core
	to      *recent
	encoder zapcore.Encoder // with the logger's own fields
	event   bool            // what it logs is documents
}

// With implements zapcore.Core.
func (c *recorded) With(fields []zapcore.Field) zapcore.Core {
	encoder := c.encoder.Clone()
	for _, f := range fields {
		f.AddTo(encoder)
	}
	return &recorded{Core: c.Core.With(fields), to: c.to, encoder: encoder, event: c.event || ofEvent(fields)}
}

// Check implements zapcore.Core: what is logged is what the core beneath logs.
func (c *recorded) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if beneath := c.Core.Check(e, checked); beneath != nil {
		return beneath.AddCore(e, c)
	}
	return checked
}

// Write implements zapcore.Core; the core beneath is asked by itself. A document that an output has refused is not
// kept: whoever sends diagnostics does not expect command lines in them.
func (c *recorded) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if c.event || ofEvent(fields) {
		return nil
	}
	text, err := c.encoder.EncodeEntry(e, fields)
	if err != nil {
		return err
	}
	defer text.Free()
	line := text.String()
	if len(line) > longestLine {
		line = cutTo(line, longestLine) + "\n"
	}
	c.to.add(line)
	return nil
}

// Close closes the core beneath, where that can be closed.
func (c *recorded) Close() error {
	if closer, ok := c.Core.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// ofEvent is true of what goes to libbeat's log of events.
func ofEvent(fields []zapcore.Field) bool {
	return slices.ContainsFunc(fields, func(f zapcore.Field) bool {
		return f.Key == logp.TypeKey && f.String == logp.EventType
	})
}
