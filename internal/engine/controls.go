// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/elastic/elastic-agent-libs/paths"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/control"
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
	q := eng.question(e, f)
	return controls.Decide(f.Rule.ID, e.Time, &q)
}

// value is a field of the alert that a match would be.
func (eng *Engine) value(e *process.Event, f *detector.Finding, field string) any {
	q := eng.question(e, f)
	return q.Value(field)
}

func (eng *Engine) question(e *process.Event, f *detector.Finding) question {
	q := question{engine: eng, exec: e, finding: *f}
	if f.Score >= f.Threshold {
		q.finding.Kind = detector.Alert // what it would be
	}
	return q
}

// question is a match that the controls are asked about.
type question struct {
	engine  *Engine
	exec    *process.Event
	finding detector.Finding
}

// Value is a field of the alert that the match would be.
func (q *question) Value(field string) any {
	switch field {
	case "@timestamp":
		return q.exec.Time
	case control.FirstSeen: // the finding has it when it is an alert
		if first := q.engine.detector.FirstSeen(&q.finding); !first.IsZero() {
			return first
		}
		return nil
	}
	if v := q.finding.Value(field); v != nil {
		return v
	}
	if field == entitiesField || strings.HasPrefix(field, ancestryField+".") {
		return q.engine.ancestryValue(q.exec, q.engine.current.from, field)
	}
	if _, ok := activityFields[field]; ok {
		return q.engine.activityValue(q.exec, field)
	}
	v, err := q.engine.document(q.engine.current).Fields.GetValue(field)
	if err == nil {
		return v
	}
	if _, ok := accountFields[field]; ok {
		return q.engine.accountValue(q.exec, q.engine.current.from, field)
	}
	if _, ok := provenanceFields[field]; ok {
		return q.engine.provenanceValue(q.exec, q.engine.current.from, field)
	}
	return nil
}
