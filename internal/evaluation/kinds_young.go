// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/reconbeat/reconbeat/process"
)

// watched are the days of a host that begins some day of its first week: about two months are left.
const watched = 68

// young are hosts of which little is known when the intruder comes: they are days old, or nobody runs the
// tools there, or an intruder was there just now.
var young = []kind{
	{
		name: "untouched",
		about: "programs start, and none that a rule means; after 10 to 55 days the first one does, a stranger's or " +
			"a web shell's",
		days: watched,
		build: func(h *host) {
			h.begin()
			if at := h.aged(10, 55); h.chance(0.5) {
				h.stranger(at, h.unknown())
			} else {
				h.serviceShell(at, pick(h, serviceAccounts))
			}
		},
	},
	{
		name:  "empty",
		about: "nobody but agents or daily jobs; after 2 to 58 days a stranger, mostly by night and from outside",
		days:  watched,
		build: func(h *host) {
			h.begin()
			h.unattended()
			h.stranger(h.aged(2, 58), h.unknown())
		},
	},
	{
		name:  "lonely",
		about: "an agent, and an admin who comes twice a week or once a month; a stranger, and later a web shell",
		days:  watched,
		build: func(h *host) {
			h.begin()
			h.poller(h.began)
			h.works(h.newPerson("rosa"), h.spread(0.2, 2), 0, h.days)
			at := h.aged(4, 35)
			h.stranger(at, h.unknown())
			h.serviceShell(at.Add(daysLong(h.spread(3, 25))), pick(h, serviceAccounts))
		},
	},
	{
		name: "fresh",
		about: "a new host, to which its team comes for the first time in these days; a web shell, or a shell of " +
			"root's daemon, on day 1 to 7",
		days: watched,
		build: func(h *host) {
			h.begin()
			h.poller(h.began)
			first := h.dayOf(h.began)
			for _, name := range sample(h, team, 2+h.IntN(4)) {
				h.works(h.newPerson(name), h.spread(0.5, 6), first+h.IntN(6), h.days)
			}
			at := h.aged(1.2, 7)
			if h.chance(0.3) {
				h.shell("root exploit", []string{"parent"}, at, "root")
			} else {
				h.serviceShell(at, pick(h, serviceAccounts))
			}
		},
	},
	{
		name: "served", about: "a quiet host; a daemon itself starts the tool, with no shell between", days: watched,
		build: func(h *host) {
			h.begin()
			h.unattended()
			for _, name := range sample(h, team, h.IntN(2)) {
				h.works(h.newPerson(name), h.spread(0.15, 1.5), 0, h.days)
			}
			d := pick(h, daemons)
			h.visit("daemon", []string{"who"}, 1+h.IntN(4), match{at: h.aged(4, 45), user: d.user, parent: d.program,
				entry: process.EntryInit, folder: pick(h, folders[4:])}, nil)
		},
	},
	{
		name:  "second",
		about: "an intruder, then a second and a third under accounts that nobody has seen, minutes to weeks later",
		days:  watched,
		build: func(h *host) {
			h.begin()
			h.inItsHabits()
			at, services, logins := h.aged(12, 35), sample(h, serviceAccounts, 3), sample(h, strangers, 3)
			for i := range 3 {
				if h.chance(0.5) {
					h.serviceShell(at, services[i])
				} else {
					h.stranger(at, logins[i])
				}
				at = at.Add(daysLong([]float64{h.spread(0.002, 4), h.spread(1, 21), 0}[i]))
			}
		},
	},
	{
		name: "calm",
		about: "no intruder: a match at the installation, agents and jobs from the first day on, a team that arrives, " +
			"one more colleague, another agent, an upgrade",
		days: watched,
		build: func(h *host) {
			h.begin()
			first := h.dayOf(h.began)
			names := sample(h, team, 3+h.IntN(3))
			installer := h.newPerson(names[0])
			at := h.began.Add(time.Duration(h.spread(0.5, 240) * float64(time.Minute)))
			for range 1 + h.IntN(4) {
				m := match{at: at, user: "root", login: names[0], command: pick(h, installer.commands),
					parent: "/usr/bin/sudo"}
				m.tty, m.entry, m.source, m.folder = true, process.EntrySSHD, installer.sources[0], pick(h,
					installer.folders)
				h.exec(m)
				at = at.Add(time.Duration(h.ExpFloat64() * float64(time.Minute)))
			}
			h.works(installer, h.spread(1, 6), first, h.days)
			for _, name := range names[1:] {
				h.works(h.newPerson(name), h.spread(0.4, 5), first+h.IntN(15), h.days)
			}
			if h.chance(0.6) {
				h.works(h.newPerson("joiner"), h.spread(0.7, 4), first+14+h.IntN(8), h.days)
			}
			for range 1 + h.IntN(2) {
				p := poll{every: time.Duration(h.spread(1, 14) * float64(time.Minute)), user: pick(h, pollers),
					command: pick(h, commands)}
				p.parent, p.from = pick(h, runners[:4]), h.began.Add(daysLong(h.Float64()))
				h.polls(p)
			}
			h.daily(h.began.Add(daysLong(h.Float64())))
			if h.chance(0.3) {
				d := pick(h, daemons)
				h.polls(poll{every: time.Duration(h.spread(1, 60) * float64(time.Minute)), user: d.user,
					command: pick(h, commands), parent: d.program, from: h.began})
			}
			if h.chance(0.6) {
				h.poller(h.began.Add(daysLong(h.between(5, 20))))
			}
			if h.chance(0.6) {
				upgrade := h.began.Add(daysLong(h.between(6, 40)))
				p := poll{every: time.Duration(h.spread(5, 1440) * float64(time.Minute)), user: pick(h, pollers),
					command: pick(h, commands), parent: "/usr/bin/python3.11"}
				p.from, p.to = h.began, upgrade
				h.polls(p)
				p.from, p.to, p.parent = upgrade, time.Time{}, "/usr/bin/python3.12"
				h.polls(p)
			}
		},
	},
}

// The pools of the young hosts.
var (
	// strangers are accounts that nobody has seen on a host.
	strangers = []string{"sysop", "ansible2", "ubuntu", "ftpadmin", "jkowalski", "hadoop", "vagrant", "rfischer",
		"pi", "webmaster", "dbadmin", "tadams", "ec2-user", "svn"}
	team    = []string{"rosa", "theo", "ines", "paul", "yuki", "omar", "lena", "ravi", "zoe", "ben"}
	pollers = []string{"root", "root", "zabbix", "nagios", "wazuh", "telegraf", "dd-agent"}
	// daemons are what serves, and as whom.
	daemons = []struct{ user, program string }{
		{"nginx", "/usr/sbin/nginx"}, {"www-data", "/usr/sbin/php-fpm8.2"}, {"apache", "/usr/sbin/httpd"},
		{"postgres", "/usr/lib/postgresql/16/bin/postgres"},
		{"mysql", "/usr/sbin/mysqld"}, {"tomcat", "/usr/lib/jvm/java-17-openjdk-amd64/bin/java"}, {"elasticsearch",
			"/usr/share/elasticsearch/jdk/bin/java"},
		{"gitlab", "/opt/gitlab/embedded/bin/ruby"}, {"haproxy", "/usr/sbin/haproxy"}, {"rabbitmq",
			"/usr/lib/erlang/erts-13.1/bin/beam.smp"}, {"prometheus", "/usr/bin/prometheus"},
	}
)

func daysLong(n float64) time.Duration { return time.Duration(n * 24 * float64(time.Hour)) }

// begin lets the host be watched from a moment of its first week on, for which nothing that is older counts.
func (h *host) begin() { h.began = h.began.Add(daysLong(h.between(0, 7))).Truncate(time.Second) }

// spread is a draw of which each factor is as likely.
func (h *host) spread(lo, hi float64) float64 { return lo * math.Exp(h.Float64()*math.Log(hi/lo)) }

// aged is a moment at which the host has been watched for so many days, the fewer the likelier.
func (h *host) aged(lo, hi float64) time.Time { return h.began.Add(daysLong(h.spread(lo, hi))) }

// dayOf is the day since the host's first Monday that a moment is on.
func (h *host) dayOf(at time.Time) int { return int(at.Sub(h.moment(0, 0)).Hours() / 24) }

// next is the first moment from at on that has this hour.
func (h *host) next(at time.Time, hour float64) time.Time {
	for day := h.dayOf(at); ; day++ {
		if t := h.moment(day, hour); !t.Before(at) {
			return t
		}
	}
}

func (h *host) unknown() string { return pick(h, strangers) }

// poller is an agent of any pace from a minute to an hour.
func (h *host) poller(from time.Time) {
	h.polls(poll{every: time.Duration(h.spread(1, 60) * float64(time.Minute)), user: pick(h, pollers),
		command: pick(h, commands), parent: pick(h, agents), from: from})
}

// daily is a job that cron starts once a day, or a few times.
func (h *host) daily(from time.Time) {
	p := poll{every: time.Duration(pick(h, []int{4, 6, 12, 24, 24, 24})) * time.Hour, user: pick(h, []string{"root",
		"root", "backup", "postgres"}), command: pick(h, commands)}
	p.parent, p.entry, p.from = pick(h, runners), process.EntryCron, from
	h.polls(p)
}

// unattended has agents or daily jobs run the tools, and nobody else.
func (h *host) unattended() {
	jobsOnly := h.chance(0.2)
	if !jobsOnly {
		for range 1 + h.IntN(2) {
			h.poller(h.began)
		}
	}
	if jobsOnly || h.chance(0.3) {
		for range 1 + h.IntN(3) {
			h.daily(h.began)
		}
	}
}

// inItsHabits has an agent and up to three people run the tools.
func (h *host) inItsHabits() {
	h.poller(h.began)
	for _, name := range sample(h, team, h.IntN(4)) {
		h.works(h.newPerson(name), h.spread(0.5, 5), 0, h.days)
	}
}

// stranger is an account that nobody has seen, who comes by ssh, from the moment on.
func (h *host) stranger(from time.Time, name string) {
	kind, signs := "stranger", []string{"who"}
	var at time.Time
	source := h.address(pick(h, h.networks))
	if h.chance(0.65) {
		signs, source = append(signs, "address"), h.elsewhere()
	}
	if h.chance(0.65) {
		signs, at = append(signs, "hour"), h.next(from, h.between(0, 5.5))
	} else {
		at = h.next(from, h.between(9, 17))
	}
	if len(signs) == 1 {
		kind = "stranger from the team's network by day"
	}
	h.visit(kind, signs, 1+h.IntN(4), match{at: at, user: name, login: name, parent: pick(h, shells),
		tty: h.chance(0.75), entry: process.EntrySSHD, source: source, folder: pick(h, folders)}, nil)
}

// serviceShell is a service account that nobody has seen, which starts a shell or an interpreter.
func (h *host) serviceShell(at time.Time, user string) {
	h.shell("web shell", []string{"who", "parent"}, at, user)
}

func (h *host) shell(kind string, signs []string, at time.Time, user string) {
	m := match{at: at, user: user, parent: h.unusedRunner(user), entry: process.EntryInit, folder: pick(h, folders[4:])}
	if slices.ContainsFunc(h.matches, func(x match) bool { return x.user == user && x.login == "" }) && user != "root" {
		signs = slices.DeleteFunc(signs, func(t string) bool { return t == "who" }) // it has a habit
	}
	h.visit(kind, signs, 1+h.IntN(4), m, nil)
}

// storm is so many accounts that nobody has seen, one after the other within an hour.
func (h *host) storm(at time.Time, accounts int) {
	for i, span := 0, time.Hour/time.Duration(accounts); i < accounts; i++ {
		name := fmt.Sprintf("acct%02d", i+1)
		m := match{at: at.Add(time.Duration(h.Float64() * float64(span))), user: name, parent: pick(h, runners),
			entry: process.EntryInit, folder: pick(h, folders)}
		if h.chance(0.5) {
			m.login, m.parent, m.entry, m.source = name, pick(h, shells), process.EntrySSHD, h.elsewhere()
		}
		h.visit("account of a storm", []string{"who"}, 1+h.IntN(2), m, nil)
		at = at.Add(span)
	}
}
