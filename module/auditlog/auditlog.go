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
	"sync/atomic"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"

	"github.com/reconbeat/reconbeat/config/settings"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/auditd/record"
	"github.com/reconbeat/reconbeat/module/follow"
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
	last atomic.Int64 // the time of the newest event, Unix nanoseconds
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

// flushAfter is how long the log must have been at its end for an event without an end mark to count as complete:
// auditd writes an event's records at once.
const flushAfter = 100 * time.Millisecond

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
	var present module.Malformed // the line that is being read in a replay, should it be malformed
	if l.env.Malformed != nil {
		o.Malformed = func(why error) {
			present.Kind, present.Why = why.Error(), why.Error()
			l.env.Malformed(present)
		}
	}
	a := record.NewAssembler(o, tampering.Watch(func(e *process.Event) error {
		l.last.Store(e.Time.UnixNano())
		return emit(e)
	}))
	if l.env.Replay {
		for _, path := range l.o.Paths {
			if err := follow.Read(ctx, path, l.env, func(line []byte, number uint64) error {
				present = module.Malformed{File: path, Line: number, Text: line}
				return a.Line(line, process.Cursor{})
			}); err != nil {
				return err
			}
			if err := a.Flush(); err != nil {
				return err
			}
		}
		return nil
	}
	return follow.Follow(ctx, follow.Options{
		Path:      l.o.Paths[0],
		From:      from,
		FromStart: l.o.From == "beginning",
		Stats:     l.env.Stats,
		Logger:    l.env.Logger,
		Tail:      &l.tail,
		Idle: func() error {
			if a.Pending() > 0 && l.tail.AtEnd(time.Now()) >= flushAfter {
				if err := a.Flush(); err != nil {
					return err
				}
			}
			if l.tail.AtEnd(time.Now()) >= flushAfter {
				return tampering.Advance(time.Now())
			}
			return nil
		},
	}, a.Line)
}

// Watermark implements module.Watermarker: the time of the last event, and now less two seconds once the end was
// reached a minute ago.
func (l *Log) Watermark(now time.Time) time.Time {
	if l.tail.AtEnd(now) > time.Minute {
		return now.Add(-2 * time.Second)
	}
	return time.Unix(0, l.last.Load())
}

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

// WritesExecs says why a log of auditd's can be read and holds no execs of late, or cannot be read; nothing where it can.
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
	sample := make([]byte, min(sampleBytes, info.Size()))
	n, _ := f.ReadAt(sample, info.Size()-int64(len(sample)))
	if !bytes.Contains(sample[:n], []byte("type=EXECVE ")) {
		return fmt.Sprintf("%s can be read, but auditd's rules report no execs: there is none in its last %d bytes", path, n)
	}
	return ""
}

// Recognises reports whether the first bytes of a recording are those of a log of auditd's.
func Recognises(sample []byte) bool {
	read := 0
	for line := range bytes.Lines(sample) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if _, _, _, err := record.ParseLine(line); err == nil {
			return true
		}
		if read++; read == 10 {
			return false
		}
	}
	return false
}
