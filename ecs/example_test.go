// SPDX-License-Identifier: Apache-2.0

package ecs_test

import (
	"fmt"
	"maps"
	"slices"

	"github.com/reconbeat/reconbeat/ecs"
	"github.com/reconbeat/reconbeat/process"
)

// A document's keys may be nested, dotted, or both.
func ExampleDecoder() {
	var d ecs.Decoder
	var e process.Event
	err := d.Decode([]byte(`{
		"@timestamp": "2026-03-02T10:00:00Z",
		"event": {"category": "process", "type": "start"},
		"user.name": "alice",
		"process": {"name": "ss", "args": ["ss", "-tan"], "parent.name": "bash"},
		"process.tty.char_device": {"major": 136, "minor": 3}
	}`), &e)
	fmt.Println(e.Kind, err)
	fmt.Println(e.User.Name, "ran", e.Args, "from", e.Parent.Name, "on", e.TTY)
	// Output:
	// exec <nil>
	// alice ran [ss -tan] from bash on pts3
}

// What is unknown is left out of a document.
func ExampleEncode() {
	var e process.Event
	e.Reset()
	e.Kind, e.Executable, e.User.ID = process.Exec, "/usr/bin/ss", 1000
	e.TTY, e.Interactive = "pts3", true
	doc := ecs.Encode(&e).Flatten()
	for _, name := range slices.Sorted(maps.Keys(doc)) {
		fmt.Println(name, doc[name])
	}
	// Output:
	// event.action exec
	// event.category [process]
	// event.kind event
	// event.outcome success
	// event.type [start]
	// process.executable /usr/bin/ss
	// process.interactive true
	// process.real_user.id 1000
	// process.tty.char_device.major 136
	// process.tty.char_device.minor 3
	// reconbeat.process.tty pts3
	// user.id 1000
}
