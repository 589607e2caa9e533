// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/reconbeat/reconbeat/process"
)

// kind is a kind of host.
type kind struct {
	name  string
	about string
	days  int // from its first Monday on; 0: as many as asked for
	build func(*host)
}

// settled are hosts that the model knows well: an intruder comes in the later half of their days. The first seven are
// usual; the others were made to break it.
var settled = []kind{
	{
		name: "web", about: "a web server: an agent, three admins; a web shell and a stolen account",
		build: func(h *host) {
			h.agent(6*time.Minute, "root", 0, h.days)
			h.person("alice", 4)
			h.person("bob", 1.5)
			h.person("carol", 0.4)
			h.webShell("www-data", false)
			h.stolenAccount("alice")
			h.someday(0.3)
		},
	},
	{
		name: "database", about: "hardly anybody uses the tools: an admin every other week; then the database's account",
		build: func(h *host) {
			h.person("dba", 0.5)
			h.job(job{user: "root", perDay: 0.03, parent: "/usr/sbin/needrestart"})
			h.webShell("postgres", false)
		},
	},
	{
		name:  "bastion",
		about: "a jump host: sixty people of very different habits, five joiners; a backdoor and a stolen account",
		build: func(h *host) {
			h.agent(time.Minute, "root", 0, h.days)
			for i := range 60 {
				h.person(fmt.Sprintf("user%02d", i+1), 12/math.Pow(float64(i+1), 0.8))
			}
			for i := range 5 {
				p := h.newPerson(fmt.Sprintf("joiner%d", i+1))
				h.works(p, pick(h, []float64{0.7, 2, 5}), int((float64(i)+1.5)*float64(h.days)/7), h.days)
			}
			h.backdoor("support1")
			h.stolenAccount(fmt.Sprintf("user%02d", 1+h.IntN(10)))
			h.someday(0.3)
		},
	},
	{
		name: "build",
		about: "a build host: pipelines in bursts, two admins; a web shell, an abused job account, an exploited " +
			"daemon of root",
		build: func(h *host) {
			h.agent(6*time.Minute, "root", 0, h.days)
			h.job(job{user: "deploy", login: "deploy", perDay: 4, burst: 4, hours: [2]float64{7, 20}})
			h.job(job{user: "jenkins", perDay: 1.5, burst: 2})
			h.person("dave", 3)
			erin := h.newPerson("erin")
			erin.hours = [2]float64{13, 22}
			h.works(erin, 0.8, 0, h.days)
			h.webShell("tomcat", false)
			h.webShell("jenkins", true)
			h.rootExploit()
		},
	},
	{
		name: "application", about: "an account that used the tools once, long ago, comes back",
		build: func(h *host) {
			h.agent(6*time.Minute, "root", 0, h.days)
			h.person("alice", 3)
			h.person("bob", 1)
			h.dormantAccount("contractor", 2)
			h.someday(0.3)
		},
	},
	{
		name: "oncall",
		about: "a team on call: nights, weekends, hotels, an incident that brings everybody; a stolen account and a " +
			"web shell",
		build: func(h *host) {
			h.agent(10*time.Minute, "root", 0, h.days)
			bad := int(h.between(0.3, 0.6) * float64(h.days))
			for _, who := range []struct {
				name string
				rate float64
			}{{"kim", 3}, {"lee", 2}, {"max", 2}, {"noa", 1}} {
				p := h.newPerson(who.name)
				p.travel, p.remote = 0.25, 0.2
				h.works(p, who.rate, 0, h.days)
				for week := range h.days / 7 {
					if h.chance(0.3) {
						for range h.poisson(2) {
							h.session(p, 7*week+h.IntN(7), h.between(0, 24), 4)
						}
					}
				}
				for range 4 {
					h.session(p, bad, h.between(0, 24), 6)
				}
			}
			h.webShell("www-data", false)
			h.stolenAccount("kim")
			h.someday(0.3)
		},
	},
	{
		name:  "rollout",
		about: "an agent replaced, an interpreter upgraded under a job, a new cron job; then root is exploited",
		build: func(h *host) {
			half, upgrade := h.days/2, 2*h.days/5
			h.agent(6*time.Minute, "root", 0, half)
			h.agent(5*time.Minute, "root", half, h.days)
			h.job(job{
				user:     "backup",
				perDay:   2,
				commands: []string{"ss -ltn"},
				parent:   "/usr/bin/python3.11",
				burst:    3,
				last:     upgrade,
			})
			h.job(job{
				user:     "backup",
				perDay:   2,
				commands: []string{"ss -ltn"},
				parent:   "/usr/bin/python3.12",
				burst:    3,
				first:    upgrade,
			})
			h.job(job{
				user:   "root",
				perDay: 1,
				parent: "/opt/backup/verify.sh",
				hours:  [2]float64{2, 3},
				entry:  "cron",
				first:  3 * h.days / 5,
			})
			h.person("alice", 3)
			h.person("bob", 1)
			h.rootExploit()
		},
	},
	{
		name: "nomads", about: "everybody comes from a new address each time; a backdoor and a stolen account",
		build: func(h *host) {
			h.agent(6*time.Minute, "root", 0, h.days)
			for i, name := range []string{"uma", "vic", "wes", "xan"} {
				p := h.newPerson(name)
				p.travel = 1
				h.works(p, 5/float64(i+1), 0, h.days)
			}
			h.backdoor("svcadmin")
			h.stolenAccount("uma")
		},
	},
	{
		name: "shifts", about: "a control room in three shifts, that rotate every week; a stolen account",
		build: func(h *host) {
			h.agent(5*time.Minute, "root", 0, h.days)
			for i := range 9 {
				p := h.newPerson(fmt.Sprintf("operator%d", i+1))
				p.weekend, p.sources = 1, []netip.Addr{h.address(h.networks[0])}
				for week := 0; week*7 < h.days; week++ {
					from := []float64{6, 14, 22}[(i+week)%3]
					p.hours = [2]float64{from, from + 8}
					h.works(p, 6, week*7, week*7+7)
				}
			}
			h.stolenAccount("operator1")
		},
	},
	{
		name:  "summertime",
		about: "strict hours of the host's own clock, which is put forward or back; a web shell and a stolen account",
		build: func(h *host) {
			h.zone, _ = time.LoadLocation(pick(h, []string{"Europe/Berlin", "America/New_York"}))
			h.job(job{user: "backup", perDay: 1, hours: [2]float64{2, 2.3}, entry: "cron"})
			h.job(job{user: "root", perDay: 1, hours: [2]float64{6, 6.1}, entry: "cron"})
			for _, name := range []string{"jan", "ida"} {
				p := h.newPerson(name)
				p.hours, p.night = [2]float64{8, 10}, 0
				h.works(p, 4, 0, h.days)
			}
			h.webShell("nginx", false)
			h.stolenAccount("jan")
		},
	},
	{
		name: "holiday",
		about: "the admin is away for three weeks, and a colleague who never did takes over; another account is " +
			"stolen after it",
		build: func(h *host) {
			h.agent(6*time.Minute, "root", 0, h.days)
			away := int(h.between(0.3, 0.45) * float64(h.days))
			admin, colleague := h.newPerson("nina"), h.newPerson("otto")
			h.works(admin, 4, 0, away)
			h.works(admin, 4, away+21, h.days)
			h.works(colleague, 4, away, away+21)
			h.person("pia", 2)
			h.stolenAccount("pia")
		},
	},
	{
		name:  "shared",
		about: "a login node of three hundred, of whom new ones come every week; a backdoor and a stolen account",
		build: func(h *host) {
			h.agent(time.Minute, "root", 0, h.days)
			for i := range 300 {
				p := h.newPerson(fmt.Sprintf("student%03d", i+1))
				first := 0
				if h.chance(0.3) {
					first = h.IntN(h.days)
				}
				h.works(p, 10/math.Pow(float64(i+1), 0.7), first, h.days)
			}
			h.backdoor("staff2")
			h.stolenAccount(fmt.Sprintf("student%03d", 1+h.IntN(20)))
		},
	},
	{
		name: "idle", about: "one visit a month, for a year; then a web shell", days: 360,
		build: func(h *host) {
			h.person("sam", 0.23)
			h.webShell("www-data", false)
		},
	},
	{
		name: "automation",
		about: "a playbook runs under a person's login, who hardly ever comes; the account is stolen, and root " +
			"exploited",
		build: func(h *host) {
			h.agent(6*time.Minute, "root", 0, h.days)
			eve := h.newPerson("eve")
			h.works(eve, 0.7, 0, h.days)
			source, listing := h.address(h.networks[0]), sample(h, commands, 2)
			for d := range h.days {
				for hour := range 24 {
					for _, c := range listing {
						h.exec(match{
							at:      h.moment(d, float64(hour)+h.between(0, 0.05)),
							user:    "eve",
							login:   "eve",
							command: c,
							parent:  "/usr/bin/python3.11",
							entry:   "sshd",
							source:  source,
							folder:  "~",
						})
					}
				}
			}
			h.person("finn", 2)
			h.stolenAccount("eve")
			h.rootExploit()
		},
	},
	{
		name: "node",
		about: "a node of a cluster: probes and jobs in its containers, somebody who looks into one now and then, an " +
			"agent and an admin of its own; an escape to the host, and a shell in a container that never had one",
		build: func(h *host) {
			h.agent(10*time.Minute, "root", 0, h.days)
			h.person("admin", h.spread(0.5, 3))
			for i := range 3 + h.IntN(4) {
				h.polls(poll{every: time.Duration(h.spread(1, 60) * float64(time.Minute)), image: fmt.Sprint("service-", i),
					user: pick(h, containerAccounts), command: pick(h, commands),
					parent: pick(h, slices.Concat(agents, runners, launchers)),
					entry:  process.EntryContainer, from: h.began})
			}
			for i := range 1 + h.IntN(3) {
				h.job(job{user: pick(h, containerAccounts), perDay: h.spread(0.1, 1), parent: pick(h, runners), burst: 3,
					image: fmt.Sprint("batch-", i), entry: process.EntryContainer, first: pick(h, []int{0, 0, h.IntN(h.days)})})
			}
			escape := match{at: h.late(-1), user: "root", parent: h.unusedRunner("root"),
				entry: pick(h, []string{process.EntryInit, process.EntryContainer}), folder: pick(h, folders[4:])}
			if h.chance(0.5) {
				escape.parent = pick(h, launchers)
			}
			h.intrude("escape", []string{"parent"}, escape, nil)
			h.intrude("shell in a container", []string{"who", "parent"}, match{at: h.late(-1), user: "www-data",
				parent: pick(h, runners), entry: process.EntryContainer, folder: pick(h, folders[4:]),
				image: "service-0"}, nil)
		},
	},
	{
		name: "crontab",
		about: "an agent and jobs of cron, by the hour, day, week and month, that one interpreter starts for root, and a " +
			"backup; shells of root's daemon and of the backup's account by that interpreter",
		build: func(h *host) {
			interpreter, backup := pick(h, runners), pick(h, runners)
			h.polls(poll{every: time.Duration(h.spread(1, 30) * float64(time.Minute)), user: "root", parent: pick(h, agents),
				command: pick(h, commands), from: h.began})
			for _, every := range []time.Duration{time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour} {
				if h.chance(0.7) {
					h.polls(poll{every: every, user: "root", parent: interpreter, command: pick(h, commands),
						entry: process.EntryCron, from: h.began})
				}
			}
			h.polls(poll{every: 24 * time.Hour, user: "backup", parent: backup, command: pick(h, commands),
				entry: process.EntryCron, from: h.began})
			h.person("alice", 2)
			h.person("bob", 0.7)
			for _, of := range [][2]string{{"root", interpreter}, {"backup", backup}} {
				h.intrude("shell beside a job", []string{"entry", "hour"}, match{at: h.late(-1), user: of[0], parent: of[1],
					entry: process.EntryInit, folder: pick(h, folders[4:])}, nil)
			}
		},
	},
	{
		name: "internal",
		about: "people who come from private networks only; a known account and one never seen come from the Internet, " +
			"by day, the known one with one sign more",
		build: func(h *host) {
			h.agent(6*time.Minute, "root", 0, h.days)
			names := sample(h, team, 2+h.IntN(4))
			for i, name := range names {
				p := h.newPerson(name)
				p.travel = 0
				h.works(p, h.spread(1, 6), i*h.IntN(8), h.days)
			}
			h.stolen(names[0], []string{"address", pick(h, []string{"hour", "parent", "terminal"})})
			h.newcomer(pick(h, strangers), []string{"address"})
			h.someday(0.3)
		},
	},
	{
		name: "office",
		about: "intruders at noon, from the office: an insider who never used the tools, and one who does exactly " +
			"what the admin does",
		build: func(h *host) {
			h.agent(6*time.Minute, "root", 0, h.days)
			h.person("gus", 4)
			h.person("hal", 1)
			h.insider("ivy")
			h.mimic("gus")
		},
	},
}

// launchers start a program in another namespace.
var launchers = []string{"/usr/bin/nsenter", "/usr/bin/runc"}

// containerAccounts are whom containers run as.
var containerAccounts = []string{"root", "root", "root", "nginx", "postgres", "nobody"}

// group is what the report lists together.
type group struct {
	name, title, about string
	kinds              []kind
}

// groups are all hosts that the model is measured on.
var groups = []group{
	{
		name:  "settled",
		title: "Hosts in their habits",
		about: "Their attacks come only to hosts older than 30 days, on which the model knows much. The last kind " +
			"holds attacks that nobody could distinguish from the admin's own work; they are counted as missed.",
		kinds: settled,
	},
	{
		name:  "young",
		title: "Hosts of which little is known",
		about: "They begin on any day of the week at any hour, and are watched for at least 60 days.",
		kinds: young,
	},
	{
		name:  "hard",
		title: "Where an intruder hides",
		about: "A usual account with a tool of its own, one newcomer among many, and further intruders after the " +
			"first.",
		kinds: hard,
	},
	{
		name:  "sessions",
		title: "Hosts on which everything is seen",
		about: "People have sessions of everyday programs, in some of which they use the tools, and intruders run other " +
			"programs around them: the part `session`. *Of matches only* is the same without it, as from a source that " +
			"reports only what rules mean. All programs come from one list, of which each person has a vocabulary, drawn " +
			"by Zipf's law; the constants of the part were chosen on seeds 1 to 10 of these hosts.",
		kinds: sessions,
	},
	{
		name:  "rules",
		title: "The other rules",
		about: "All shipped rules are on, each with its own model; found and false alarms are each rule's own.",
		kinds: siblings,
	},
}

// host makes a host of a kind from a seed.
func (k kind) host(seed, days int) *host {
	if k.days > 0 {
		days = k.days
	}
	h := newHost(k.name, seed, days)
	k.build(h)
	h.sorted()
	return h
}
