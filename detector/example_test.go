// SPDX-License-Identifier: Apache-2.0

package detector_test

import (
	"fmt"
	"time"

	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/detector/rare"
	"github.com/reconbeat/reconbeat/process"
)

// A host on which an agent looks at network connections every hour, and then a web server does.
func Example() {
	d, err := detector.New(detector.Options{
		Rules: []detector.Rule{{
			ID: "connections", Name: "Unusual network connection discovery", Enabled: true,
			Habit: "looked at network connections", Programs: []string{"ss", "netstat"},
			Threshold: 25, Severity: "low", RiskScore: 21,
		}},
		LearnFor:    24 * time.Hour,
		EpisodeIdle: 15 * time.Minute, EpisodeMax: 24 * time.Hour,
		Rare: rare.Options{BucketSpan: 15 * time.Minute, MaxUsers: 1000},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var findings []detector.Finding
	judge := func(e *process.Event) {
		findings = d.Advance(e.Time, findings[:0]) // summaries of episodes that are over
		d.Watch(e)
		findings = d.Judge(e, d.Match(e), findings)
		for _, f := range findings {
			if f.Kind == detector.Alert {
				fmt.Println(f.Message())
				fmt.Println(f.Reason())
			}
		}
	}

	at := time.Date(2026, time.March, 1, 0, 0, 0, 0, time.UTC)
	for range 30 * 24 {
		judge(exec(at, 111, "agent", "agent_agentd", "/usr/bin/ss", "-s"))
		at = at.Add(time.Hour)
	}
	judge(exec(at, 33, "www-data", "sh", "/usr/bin/ss", "-tunap"))

	// Output:
	// Unusual network connection discovery by www-data
	// www-data has never looked at network connections on this host in 30 days; parent sh, no terminal; usually agent does
}

// exec is a program start by a daemon.
func exec(at time.Time, uid uint32, user, parent, program string, args ...string) *process.Event {
	e := &process.Event{}
	e.Reset()
	e.Kind, e.Success, e.Time = process.Exec, true, at
	e.User = process.User{ID: uid, Name: user}
	e.Executable, e.Args, e.Parent.Name = program, append([]string{program}, args...), parent
	e.Session.Entry = process.EntryInit
	return e
}
