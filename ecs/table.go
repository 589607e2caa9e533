// SPDX-License-Identifier: Apache-2.0

package ecs

import (
	"bytes"
	"net/netip"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/reconbeat/reconbeat/process"
)

// table is the one table of fields, in the order in which documents show them.
var table = paths(fields())

// objects are the objects that the fields stand in, each behind the one that it stands in.
var objects = nest(table)

// byName finds a field of the table.
var byName = index(table)

// names is what the Decoder walks: the table and the aliases, by the parts of their names.
var names = grow(table, paths(aliases()))

func fields() []Field {
	f := []Field{{
		Name: "@timestamp", Type: Date, Description: "When it happened.",
		get: func(e *process.Event) any {
			if e.Time.IsZero() {
				return nil
			}
			return e.Time
		},
		set: func(d *draft, v value) {
			if t, ok := d.time(v); ok {
				d.Time = t
			} else {
				d.untimed = append(d.untimed[:0], v.raw[:min(len(v.raw), untimedBytes)]...)
			}
		},
	}}
	f = append(f, eventFields()...)
	f = append(f,
		text(
			"host.id",
			"Id of the host, where it is not the one that reconbeat runs on.",
			func(e *process.Event) *string { return &e.Host.ID },
		),
		text(
			"host.name",
			"Name of the host, where it is not the one that reconbeat runs on.",
			func(e *process.Event) *string { return &e.Host.Name },
		),
		text(
			"host.os.type",
			"Type of the host's operating system, where it is not the one that reconbeat runs on.",
			func(e *process.Event) *string { return &e.Host.OSType },
		),
	)
	f = append(f, account("user", "the real user",
		func(e *process.Event) *process.User { return &e.User },
		func(d *draft) *process.User { return &d.user })...)
	f = append(f, account("user.group", "the real group",
		func(e *process.Event) *process.User { return &e.Group },
		func(d *draft) *process.User { return &d.group })...)
	f = append(f, account("user.effective", "the effective user, where it is not the real one",
		differingUser,
		func(d *draft) *process.User { return &d.effective })...)
	f = append(f, account("user.effective.group", "the effective group, where it is not the real one",
		differingGroup,
		func(d *draft) *process.User { return &d.effectiveGroup })...)
	f = append(f, account("user.audit", "the login user (auid), which sudo and su do not change",
		func(e *process.Event) *process.User { return &e.Session.User },
		func(d *draft) *process.User { return &d.Session.User })...)
	f = append(f,
		address("source.ip", "Remote address of the login session.", func(d *draft) *netip.Addr { return &d.source }),
	)
	f = append(f, processFields("process", "the process", subject)...)
	f = append(f, processFields("process.parent", "the parent", parent)...)
	f = append(f, processFields("process.session_leader", "the session leader", leader)...)
	f = append(f, processFields("process.entry_leader", "the entry leader, the first process of the way in", entry)...)
	return append(f,
		text(
			"process.entry_leader.entry_meta.type",
			"How the login session came in: sshd, terminal, init, cron, container ...",
			func(e *process.Event) *string { return &e.Session.Entry },
		),
		address(
			"process.entry_leader.entry_meta.source.ip",
			"Remote address of the login session.",
			func(d *draft) *netip.Addr { return &d.Session.Source },
		),
		text("container.id", "Id of the container.", func(e *process.Event) *string { return &e.Container.ID }),
		text("container.name", "Name of the container.", func(e *process.Event) *string { return &e.Container.Name }),
		text(
			"container.image.name",
			"Name of the container's image.",
			func(e *process.Event) *string { return &e.Container.Image },
		),
		text(
			"kubernetes.namespace",
			"Namespace of the container's pod.",
			func(e *process.Event) *string { return &e.Container.Namespace },
		),
		text(
			"kubernetes.pod.name",
			"Name of the container's pod.",
			func(e *process.Event) *string { return &e.Container.Pod },
		),
		text(
			"kubernetes.container.name",
			"Name of the container in its pod.",
			func(e *process.Event) *string { return &e.Container.Part },
		),
		text(
			"reconbeat.process.build_id",
			"GNU build-id of the executable, lower-case hex.",
			func(e *process.Event) *string { return &e.Binary.BuildID },
		),
		text(
			"reconbeat.process.tool",
			"The program that the executable is by its contents, whatever it is called.",
			func(e *process.Event) *string { return &e.Binary.Tool },
		),
		text(
			"reconbeat.process.starter",
			"The program that had the process started: the nearest ancestor that is not a wrapper such as sudo; missing where "+
				"that is the parent.",
			func(e *process.Event) *string { return &e.Starter },
		),
		text(
			"reconbeat.process.place",
			"What the file system says of the executable's folder: in a temporary folder, in a home.",
			func(e *process.Event) *string { return &e.Place },
		),
		text(
			"reconbeat.process.starter_place",
			"What the file system says of the folder of the program that had the process started.",
			func(e *process.Event) *string { return &e.StarterPlace },
		),
		text(
			"reconbeat.process.tty",
			"Name of the controlling terminal: pts0, tty1, ttyS0.",
			func(e *process.Event) *string { return &e.TTY },
		),
		identifier(
			"reconbeat.session.id",
			"Id of the login session (the kernel's audit session).",
			func(e *process.Event) uint32 { return e.Session.ID },
			func(d *draft) *uint32 { return &d.Session.ID },
		),
		text(
			"reconbeat.session.tty",
			"Name of the login's terminal.",
			func(e *process.Event) *string { return &e.Session.TTY },
		),
		date(
			"reconbeat.session.start",
			"When the login session began.",
			func(e *process.Event) *time.Time { return &e.Session.Start },
		),
		boolean(
			"reconbeat.session.no_shell",
			"The login user's shell lets nobody in: nologin or false.",
			func(e *process.Event) *bool { return &e.Session.NoShell },
		),
		number(
			"reconbeat.session.leader.pid",
			"Process id of the process that opened the login session.",
			func(e *process.Event) *uint32 { return &e.Session.Leader },
		),
		text(
			"reconbeat.origin.index",
			"Index of the document that the event was read from, of a cluster or of its exported hits.",
			func(e *process.Event) *string { return &e.Origin.Index },
		),
		text(
			"reconbeat.origin.id",
			"The _id of that document.",
			func(e *process.Event) *string { return &e.Origin.ID },
		),
		boolean(
			"reconbeat.lossy",
			"The source may have missed facts of this event.",
			func(e *process.Event) *bool { return &e.Lossy },
		),
	)
}

func eventFields() []Field {
	return []Field{
		text("event.timezone", "Time zone of the host's clock.", func(e *process.Event) *string { return &e.Timezone }),
		text("event.id", "Id that the source gave the event.", func(e *process.Event) *string { return &e.ID }),
		{
			Name: "event.sequence", Type: Long, Description: "Number that the source gave the event.",
			get: func(e *process.Event) any {
				if e.Sequence == 0 {
					return nil
				}
				return int64(e.Sequence)
			},
			set: setSequence,
		},
		constant(
			"event.kind",
			"Always event.",
			Keyword,
			func(e *process.Event) any { return of(e.Kind, "event", "event", "event") },
			(*draft).addKind,
		),
		constant(
			"event.category",
			"Always process.",
			Keywords,
			func(e *process.Event) any { return listOf(e.Kind, "process", "process", "process") },
			(*draft).addCategory,
		),
		constant(
			"event.type",
			"start, of execs and forks; end, of exits.",
			Keywords,
			func(e *process.Event) any { return listOf(e.Kind, "start", "start", "end") },
			(*draft).addType,
		),
		constant(
			"event.action",
			"exec, fork or end.",
			Keyword,
			func(e *process.Event) any { return of(e.Kind, "exec", "fork", "end") },
			(*draft).addAction,
		),
		constant("event.outcome", "success, or failure of an exec.", Keyword, func(e *process.Event) any {
			if !e.Success {
				return of(e.Kind, "failure", "failure", "failure")
			}
			return of(e.Kind, "success", "success", "success")
		}, (*draft).addOutcome),
		{
			Name:        "event.provider",
			Type:        Keyword,
			Description: "Where the event came from: the module, or the agent whose document it was.",
			get:         func(e *process.Event) any { return known(e.Source) },
			text:        func(e *process.Event) string { return e.Source },
			set:         func(d *draft, v value) { d.text(&d.provider, v) },
		},
	}
}

// setSequence keeps within what a long holds.
func setSequence(d *draft, v value) {
	if n, ok := v.uint(63); ok {
		d.Sequence = n
	}
}

// of returns the word for a kind of event, nil for kinds that are not process's.
func of(k process.Kind, exec, fork, exit any) any {
	switch k {
	case process.Exec:
		return exec
	case process.Fork:
		return fork
	case process.Exit:
		return exit
	}
	return nil
}

func listOf(k process.Kind, exec, fork, exit string) any {
	if word, ok := of(k, exec, fork, exit).(string); ok {
		return []string{word}
	}
	return nil
}

var nobody = process.NoProcess.User

// differingUser is the effective user where it is not the real one.
func differingUser(e *process.Event) *process.User {
	if same(e.Effective, e.User) {
		return &nobody
	}
	return &e.Effective
}

func differingGroup(e *process.Event) *process.User {
	if same(e.EffGroup, e.Group) {
		return &nobody
	}
	return &e.EffGroup
}

// same reports whether two accounts are one: by the id, by the name where one has no id.
func same(a, b process.User) bool {
	if a.ID != process.Unset && b.ID != process.Unset {
		return a.ID == b.ID
	}
	return a.Name == b.Name
}

// role is one of the processes that an event names.
type role int

const (
	subject role = iota // the process of the event
	parent
	leader
	entry
	roles // how many
)

// of returns the event's process in the role.
func (r role) of(e *process.Event) *process.Process {
	switch r {
	case parent:
		return &e.Parent
	case leader:
		return &e.Leader
	case entry:
		return &e.Entry
	}
	return &e.Process
}

// processFields are the fields that ECS nests under each process.
func processFields(prefix, whose string, r role) []Field {
	p := prefix + "."
	str := func(name, description string, at func(*process.Process) *string) Field {
		return text(p+name, description+" of "+whose+".", func(e *process.Event) *string { return at(r.of(e)) })
	}
	f := []Field{
		pid(p+"pid", "Process id of "+whose+".", r),
		str(
			"entity_id",
			"Id that is unique over hosts and time,",
			func(p *process.Process) *string { return &p.EntityID },
		),
		str("name", "Base name of the executable", func(p *process.Process) *string { return &p.Name }),
		str("executable", "Path of the executable", func(p *process.Process) *string { return &p.Executable }),
		arguments(p+"args", "Arguments of "+whose+", the program's name first.", r),
		{
			Name:        p + "args_count",
			Type:        Long,
			Description: "How many arguments there were; more than in args where those were cut.",
			get: func(e *process.Event) any {
				if n := max(r.of(e).ArgsCount, len(r.of(e).Args)); n > 0 {
					return int64(n)
				}
				return nil
			},
			set: func(d *draft, v value) {
				if n, ok := v.uint(31); ok {
					r.of(d.Event).ArgsCount = int(n)
				}
			},
		},
		{
			Name:        p + "command_line",
			Type:        Keyword,
			Description: "Command line of " + whose + "; the arguments joined by blanks where the source gives none.",
			get:         func(e *process.Event) any { return known(commandLine(r.of(e))) },
			text:        func(e *process.Event) string { return commandLine(r.of(e)) },
			set:         func(d *draft, v value) { d.text(&r.of(d.Event).CommandLine, v) },
		},
		str("working_directory", "Working directory", func(p *process.Process) *string { return &p.CWD }),
		date(
			p+"start",
			"When "+whose+" started its program.",
			func(e *process.Event) *time.Time { return &r.of(e).Start },
		),
		{
			Name: p + "interactive", Type: Boolean, Description: "Whether somebody sits before " + whose + ".",
			get: func(e *process.Event) any {
				if q := r.of(e); q.Interactive || q.TTY != "" {
					return q.Interactive
				}
				return nil
			},
			set: func(d *draft, v value) {
				if b, ok := v.bool(); ok {
					r.of(d.Event).Interactive, d.said[r] = b, true
				}
			},
		},
		terminal(p+"tty.char_device.major", "Major number of the controlling terminal's device.", r,
			func(t *process.Terminal) *uint32 { return &t.Major }),
		terminal(p+"tty.char_device.minor", "Minor number of the controlling terminal's device.", r,
			func(t *process.Terminal) *uint32 { return &t.Minor }),
	}
	whom := func(name, of string, at func(*process.Process) *process.User) {
		f = append(f, account(
			p+name,
			of+" of "+whose,
			func(e *process.Event) *process.User { return at(r.of(e)) },
			func(d *draft) *process.User { return at(r.of(d.Event)) },
		)...)
	}
	whom("user", "the effective user", func(p *process.Process) *process.User { return &p.Effective })
	whom("real_user", "the real user", func(p *process.Process) *process.User { return &p.User })
	whom("group", "the effective group", func(p *process.Process) *process.User { return &p.EffGroup })
	whom("real_group", "the real group", func(p *process.Process) *process.User { return &p.Group })
	if r == subject || r == parent { // ECS has no hashes of the leaders
		f = append(f,
			str(
				"hash.sha256",
				"SHA-256 of the executable",
				func(p *process.Process) *string { return &p.Binary.SHA256 },
			),
		)
	}
	if r == subject {
		f = append(f, Field{
			Name: p + "exit_code", Type: Long, Description: "Exit code, of exits.",
			get: func(e *process.Event) any {
				if e.Kind == process.Exit {
					return int64(e.ExitCode)
				}
				return nil
			},
			set: func(d *draft, v value) {
				if n, ok := v.uint(31); ok {
					d.ExitCode = int32(n)
				}
			},
		})
	}
	return f
}

// pid is a process id; the parent's is kept twice, because it is often all that is known of the parent.
func pid(name, description string, r role) Field {
	f := number(name, description, func(e *process.Event) *uint32 { return &r.of(e).PID })
	if r != parent {
		return f
	}
	own, set := f.get, f.set
	f.get = func(e *process.Event) any {
		if n := own(e); n != nil || e.PPID == 0 {
			return n
		}
		return int64(e.PPID)
	}
	f.set = func(d *draft, v value) {
		set(d, v)
		d.PPID = d.Parent.PID
	}
	return f
}

// blanks part the words of a command line.
const blanks = " \t\r\n"

// arguments are a list, or one string of words.
func arguments(name, description string, r role) Field {
	return Field{
		Name: name, Type: Keywords, Description: description, each: true,
		get: func(e *process.Event) any {
			if args := r.of(e).Args; len(args) > 0 {
				return args
			}
			return nil
		},
		set: func(d *draft, v value) {
			p := r.of(d.Event)
			if v.index == 0 {
				p.Args = nil // the document says it twice
			}
			if v.list {
				d.AddArg(p, d.bytes(v))
				return
			}
			text := d.bytes(v)
			if bytes.HasPrefix(text, []byte(`["`)) { // a list that went through a table
				var list []string
				if json.Unmarshal(text, &list, jsontext.AllowInvalidUTF8(true)) == nil {
					for _, arg := range list {
						d.AddArg(p, []byte(arg))
					}
					return
				}
			}
			if p.CommandLine == "" {
				d.text(&p.CommandLine, v)
			}
			for rest := bytes.TrimLeft(text, blanks); len(rest) > 0; rest = bytes.TrimLeft(rest, blanks) {
				n := bytes.IndexAny(rest, blanks)
				if n < 0 {
					n = len(rest)
				}
				d.AddArg(p, rest[:n])
				rest = rest[n:]
			}
		},
	}
}

// terminal is a number of a terminal's device.
func terminal(name, description string, r role, number func(*process.Terminal) *uint32) Field {
	return Field{
		Name: name, Type: Long, Description: description,
		get: func(e *process.Event) any {
			t, ok := process.ParseTerminal(r.of(e).TTY)
			if !ok {
				return nil
			}
			return int64(*number(&t))
		},
		set: func(d *draft, v value) {
			if n, ok := v.uint(32); ok {
				*number(&d.terminals[r]) = uint32(n)
			}
		},
	}
}

// aliases are the names under which other agents ship what the table has under another.
func aliases() []Field {
	as := func(name string, set func(*draft, value)) Field { return Field{Name: name, set: set} }
	named := func(name, field string) Field { // the same fact under another name
		f := *byName[field]
		f.Name = name
		return f
	}
	var f []Field
	host := func(name string, at int) Field {
		return as(name, func(d *draft, v value) { d.text(&d.fallbacks[at], v) })
	}
	who := func(prefix string, to func(*draft) *process.User) {
		for _, a := range account(prefix, "", nil, to) {
			f = append(f, Field{Name: a.Name, set: a.set})
		}
	}
	f = append(f,
		as("event.module", func(d *draft, v value) { d.text(&d.module, v) }),
		as("host.hostname", func(d *draft, v value) { d.text(&d.hostname, v) }),
		named("@timestamp.$date", "@timestamp"),             // mongoexport
		named("@timestamp.$date.$numberLong", "@timestamp"), // and its canonical form
		named("process.ppid", "process.parent.pid"),         // auditbeat before 8
		named("auditd.sequence", "event.sequence"),          // auditbeat before 7
		named("auditd.session", "reconbeat.session.id"),
		as("host.os.platform", (*draft).addSystem),
		as("host.os.family", (*draft).addSystem),
		as("host.os.name", (*draft).addSystem),
		as("host.os.full", (*draft).addSystem),
		host("host", fromHost),
		host("agent.hostname", fromAgentHost),
		host("beat.hostname", fromAgentHost),
		host("hostname", fromHostname),
		host("agent.name", fromAgentName),
		host("beat.name", fromAgentName),
		host("kubernetes.node.name", fromKubernetes),
		as("user", func(d *draft, v value) { d.text(&d.nickname, v) }),
		as("process.user", func(d *draft, v value) { d.text(&d.nickname, v) }),
		as("metricset.name", func(d *draft, _ value) { d.metric = true }), // Metricbeat
		as("message", (*draft).addMessage),
		as("event.original", (*draft).addMessage),
		as("log", (*draft).addMessage),                                            // Docker
		as("MESSAGE", (*draft).addMessage),                                        // the journal
		as("payload", (*draft).addMessage),                                        // kcat, Kafka Connect
		as("line", (*draft).addMessage),                                           // Loki
		as("short_message", (*draft).addMessage),                                  // GELF
		as("auditd.log.record_type", func(d *draft, _ value) { d.single = true }), // the integration Auditd Logs
		named("process.exe", "process.executable"),                                // auditbeat before 7, as what follows
		named("process.cwd", "process.working_directory"),
		named("user.auid", "user.audit.id"),
		named("user.uid", "user.id"),
		named("user.euid", "user.effective.id"),
		named("user.name_map.auid", "user.audit.name"),
		named("user.name_map.uid", "user.name"),
		named("user.name_map.euid", "user.effective.name"),
		as("auditd.data.tty", func(d *draft, v value) { d.text(&d.tty, v) }),
		as("auditd.result", (*draft).addOutcome),
		as("auditd.summary.actor.primary", func(d *draft, v value) { d.text(&d.primary, v) }),
	)
	who("user.Ext.real", func(d *draft) *process.User { return &d.real })             // Elastic Defend
	who("auditd.user.audit", func(d *draft) *process.User { return &d.Session.User }) // auditd_manager
	who("group.Ext.real", func(d *draft) *process.User { return &d.Group })           // Elastic Defend
	who("group", func(d *draft) *process.User { return &d.group })
	return f
}
