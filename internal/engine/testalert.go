// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"os"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/internal/host"
)

// TestAlert makes an alert of the first enabled rule in which only the occasion is made up: no exec stands behind it
// but this process. It is marked by reconbeat.alert.test.
func TestAlert(cfg config.Config, rulesPath string, info beat.Info, now time.Time) (*beat.Event, error) {
	described, err := host.Describe(info.Name)
	if err != nil {
		return nil, err
	}
	options, err := DetectorOptions(cfg, rulesPath, described)
	if err != nil {
		return nil, err
	}
	s, err := New(Options{Config: cfg, Detector: options, Host: described, Logger: info.Logger})
	if err != nil {
		return nil, err
	}
	rules := s.detector.Rules()
	if len(rules) == 0 {
		return nil, errors.New("no rule is enabled, so that no alert can ever be raised")
	}
	executable, err := os.Executable()
	if err != nil {
		executable = "" // it is the alert's way that is tried
	}
	e := thisProcess(now, os.Getpid(), os.Getppid(), os.Getuid(), executable)
	f := trialFinding(rules[0], e, testID(described.ID, now))
	f.Rarity = detector.Rarity{BucketSpan: cfg.Detector.BucketSpan}
	exec := s.documents.Exec(e, &document.Source{})
	doc := exec.Alert(f)
	doc.MarkTest(f, "a test of the way of alerts, sent by `reconbeat test alert`; nobody has "+rules[0].Habit)
	return &doc.Event, nil
}
