// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"os"
	"strconv"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/host"
	"github.com/reconbeat/reconbeat/process"
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
	e := &process.Event{}
	e.Reset()
	e.Kind, e.Time, e.Success = process.Exec, now, true
	e.PID, e.PPID = uint32(os.Getpid()), uint32(os.Getppid())
	e.User.ID = uint32(os.Getuid())
	host.NewAccounts().User(&e.User)
	e.Name, e.Args = "reconbeat", []string{"reconbeat", "test", "alert"}
	if exe, err := os.Executable(); err == nil {
		e.Executable = exe
	}
	id := process.ID("test alert", described.ID, strconv.FormatInt(now.UnixNano(), 10))
	f := &detector.Finding{
		Kind: detector.Alert, Rule: rules[0], Time: now, Actor: detector.Actor{ID: e.User.ID, Name: e.User.Name}, User: e.User.Name, Program: rules[0].Programs[0],
		Threshold: rules[0].Threshold, Score: rules[0].Threshold, Rarity: detector.Rarity{BucketSpan: cfg.Detector.BucketSpan}, AlertID: id, Episode: detector.Episode{ID: id, Start: now},
	}
	from := &Source{}
	doc := s.alert(s.execDocument(e, from), e, from, f)
	put(doc.Fields, "reconbeat.alert.test", true)
	put(doc.Fields, "message", "Test of reconbeat: "+f.Message())
	put(doc.Fields, "event.reason", "a test of the way of alerts, sent by `reconbeat test alert`; nobody has "+rules[0].Habit)
	return &doc.Event, nil
}
