// SPDX-License-Identifier: Apache-2.0

// Package auditlog reads the log that auditd writes: followed as it grows, or a recording from beginning to end.
//
// It sees what auditd's rules make the kernel report. Who wants execs loads a rule for them; Probe reads the log
// whether somebody did.
package auditlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"

	"github.com/reconbeat/reconbeat/config/settings"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/auditd/record"
	"github.com/reconbeat/reconbeat/module/follow"
	"github.com/reconbeat/reconbeat/module/recording"
	"github.com/reconbeat/reconbeat/process"
)

// DefaultPath is where auditd writes unless its log_file says otherwise.
const DefaultPath = "/var/log/audit/audit.log"

// Options are the module's own options.
type Options struct {
	Paths []string `config:"paths"` // the log, one file; in a replay any number, read one after the other
	From  string   `config:"from"`  // where to begin without a remembered place: end or beginning
}

// Log is the module.
type Log struct {
	o    Options
	env  module.Env
	tail follow.Tail
}

// New checks the options.
func New(c *conf.C, env module.Env) (module.Module, error) {
	o := Options{Paths: []string{DefaultPath}, From: "end"}
	errRead := settings.Read("", c, &o)
	var errs []error
	if len(o.Paths) == 0 || len(o.Paths) > 1 && !env.Replay {
		errs = append(errs,
			fmt.Errorf("paths: %q is not allowed; it must be one file: give each log a module of its own", o.Paths),
		)
	}
	if o.From != "end" && o.From != "beginning" {
		errs = append(errs, fmt.Errorf("from: %q is not allowed; it must be end or beginning", o.From))
	}
	if err := settings.Behind(errRead, errors.Join(errs...)); err != nil {
		return nil, err
	}
	return &Log{o: o, env: env}, nil
}

const (
	// wholeAfter is how long the log must have been at its end for an event that lacks only its end mark to count as
	// complete.
	wholeAfter = 100 * time.Millisecond
	// giveUpAfter is for how long the rest of an event is waited for: a log that is relayed, or copied, grows in
	// portions, and after a rotation the rest comes in the next file.
	giveUpAfter = 10 * time.Second
)

// Run follows the log, or reads recordings.
func (l *Log) Run(ctx context.Context, from process.Cursor, emit func(*process.Event) error) error {
	tampering := record.NewTampering(l.env, emit)
	defer tampering.Close()
	o := record.Options{
		Stats:   l.env.Stats,
		Logger:  l.env.Logger,
		Source:  "auditlog",
		Names:   true,
		Changed: tampering.Changed,
	}
	emitted := tampering.Watch(func(e *process.Event) error {
		l.tail.Read(e.Time, e.Kind == process.Exec)
		return emit(e)
	})
	if o.Recorded = l.env.Replay; o.Recorded {
		return l.replay(ctx, o, emitted)
	}
	o.Own = ownNode()
	a := record.NewAssembler(o, emitted)
	var joiner recording.Joiner
	return follow.Follow(ctx, follow.Options{
		Path:      l.o.Paths[0],
		From:      from,
		FromStart: l.o.From == "beginning",
		Stats:     l.env.Stats,
		Logger:    l.env.Logger,
		Tail:      &l.tail,
		Idle: func() error {
			atEnd := l.tail.AtEnd(time.Now())
			if atEnd < wholeAfter {
				return nil
			}
			err := a.Whole()
			if atEnd >= giveUpAfter {
				err = errors.Join(err, a.Flush())
			}
			return errors.Join(err, tampering.Advance(time.Now()))
		},
	}, func(line []byte, next process.Cursor) error {
		if whole, ok := joiner.Line(line); ok {
			return a.Line(whole, next)
		}
		return nil
	})
}

// Watermark implements module.Watermarker.
func (l *Log) Watermark(now time.Time) time.Time { return l.tail.Watermark(now) }

// sampleBytes is how much of the end of the log Probe reads.
const sampleBytes = 256 << 10

// Probe says whether this host's log can be read and holds execs.
func Probe() module.Support {
	s := module.Support{
		Sees: []string{
			"the execs that auditd's rules report, with arguments, users, login sessions and their addresses",
		},
		Blind: []string{
			"execs that no rule of auditd's reports",
			"what auditd or the kernel lost",
			"containers, but by their control group while the process lives",
		},
		Help: "To have auditd report execs: -a always,exit -F arch=b64 -S execve,execveat -F success=1 -k exec, and the " +
			"same with arch=b32, in /etc/audit/rules.d.",
	}
	if why := WritesExecs(DefaultPath); why != "" {
		s.Why = why
		return s
	}
	s.Works, s.Why = true, fmt.Sprintf("auditd writes execs to %s", DefaultPath)
	return s
}

// silentFor is how long nothing may have been written to a log of execs before auditd counts as gone: cron and timers
// start programs every hour on a host where nobody works.
const silentFor = 2 * time.Hour

// WritesExecs says why no execs can be read of a log of auditd's: it cannot be read, holds none of late, or auditd has
// ceased to write. Nothing where they can.
func WritesExecs(path string) (why string) {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Sprintf("%s cannot be read: %v", path, errors.Unwrap(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Sprintf("%s cannot be read: %v", path, err)
	}
	if silent := time.Since(info.ModTime()); silent > silentFor {
		return fmt.Sprintf("%s can be read, but nothing was written to it for %d hours; does auditd run?",
			path, int(silent.Hours()))
	}
	sample := make([]byte, min(sampleBytes, info.Size()))
	n, _ := f.ReadAt(sample, info.Size()-int64(len(sample)))
	if !bytes.Contains(sample[:n], []byte("type=EXECVE ")) {
		return fmt.Sprintf("%s can be read, but auditd's rules report no execs: there is none in its last %d bytes", path, n)
	}
	return ""
}

// Recognises reports whether the first bytes of a recording are those of a log of audit records, whatever has been put
// before or around them. Documents among which some are of processes are left to module ndjson.
func Recognises(sample []byte) bool {
	carried := false
	for line := range carriers(sample) {
		isDocument := bytes.HasPrefix(bytes.TrimLeft(line, " \x1e"), []byte("{"))
		switch recognised := record.Recognises(line); {
		case recognised && !isDocument:
			return true
		case recognised:
			carried = true
		case isDocument && bytes.Contains(line, []byte(`"process`)):
			return false
		}
	}
	return carried
}
