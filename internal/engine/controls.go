// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"path/filepath"
	"time"

	"github.com/elastic/elastic-agent-libs/paths"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/control"
	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/process"
)

// NewControls makes the controls that a configuration and the folders of controls have. local is the time zone of days
// and times that are written without one, where no detector.timezone is configured; nil: UTC. The error names
// everything that is wrong.
func NewControls(cfg config.Config, in config.ControlFolders, local *time.Location) (*control.Set, error) {
	zone, err := cfg.Detector.Location(local)
	if err != nil {
		zone = time.UTC // config.Parse has reported it
	}
	items, err := cfg.ControlItems(in, zone)
	if err != nil {
		return nil, err
	}
	return control.New(items)
}

// ControlFolders are the folders of controls.
func ControlFolders(p *paths.Path, cfg config.Config) config.ControlFolders {
	resolve := func(dir string) string {
		if filepath.IsAbs(dir) || dir == "" {
			return dir
		}
		return p.Resolve(paths.Config, dir)
	}
	c := cfg.Controls
	return config.ControlFolders{
		Exceptions: resolve(c.ExceptionsPath), Windows: resolve(c.WindowsPath), Onboarding: resolve(c.OnboardingPath),
		Approvals: ApprovalsDir(p),
	}
}

// ApprovalsDir is the folder of what `reconbeat approve` has written.
func ApprovalsDir(p *paths.Path) string { return p.Resolve(paths.Data, "approvals") }

// SetControls replaces the controls between two events; what was counted of those that stay goes on.
func (eng *Engine) SetControls(controls *control.Set) {
	if before := eng.Counts.Controls.Load(); before != nil {
		controls.Inherit(before.Usage())
	}
	eng.Counts.Controls.Store(controls)
}

// decide asks the controls about a match of the exec that is being reported.
func (eng *Engine) decide(e *process.Event, f *detector.Finding) detector.Decision {
	controls := eng.Counts.Controls.Load()
	if controls == nil || controls.Len() == 0 {
		return detector.Decision{}
	}
	return controls.Decide(f.Rule.ID, e.Time, eng.question(e, f))
}

// value is a field of the alert that a match would be.
func (eng *Engine) value(e *process.Event, f *detector.Finding, field string) any {
	return eng.question(e, f).Value(field)
}

func (eng *Engine) question(e *process.Event, f *detector.Finding) *question {
	q := &question{exec: eng.current, time: e.Time, finding: *f, firstSeen: eng.detector.FirstSeen}
	if q.exec == nil { // it was reported before, and is judged again
		exec := eng.documents.Exec(e, eng.origin(""))
		q.exec = &exec
	}
	if f.Score >= f.Threshold {
		q.finding.Kind = detector.Alert // what it would be
	}
	return q
}

// question is a match that the controls are asked about.
type question struct {
	exec      *document.Exec
	time      time.Time
	finding   detector.Finding
	firstSeen func(*detector.Finding) time.Time
}

// Value is a field of the alert that the match would be.
func (q *question) Value(field string) any {
	switch field {
	case "@timestamp":
		return q.time
	case control.FirstSeen: // the finding has it when it is an alert
		if first := q.firstSeen(&q.finding); !first.IsZero() {
			return first
		}
		return nil
	case "reconbeat.visit.commands":
		return q.finding.VisitCommands()
	case "reconbeat.rules":
		return []string{q.finding.Rule.ID}
	}
	if v := q.finding.Value(field); v != nil {
		return v
	}
	return q.exec.Value(field)
}
