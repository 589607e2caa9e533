// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/reconbeat/reconbeat/process"
)

// sessions are hosts on which everything that runs is seen: people have sessions of everyday programs, in some of which
// they use the tools. The programs of people and of intruders come from the same pools.
var sessions = []kind{
	{
		name: "workplace",
		about: "four to six people with sessions of everyday programs; two stolen accounts with one sign, whose intruder " +
			"discovers before and after",
		days: watched,
		build: func(h *host) {
			names := h.workplace(4 + h.IntN(3))
			for _, name := range names[:2] {
				h.discovers(name, sample(h, oneSign, 1))
			}
		},
	},
	{
		name:  "colleague",
		about: "the same; two stolen accounts with one sign, in which somebody does their own everyday work",
		days:  watched,
		build: func(h *host) {
			names := h.workplace(4 + h.IntN(3))
			for _, name := range names[:2] {
				h.workElsewhere(name, sample(h, oneSign, 1))
			}
		},
	},
	{
		name: "mimicry",
		about: "the same; two stolen accounts without another sign, by day and from the office, whose intruder runs " +
			"programs of discovery",
		days: watched,
		build: func(h *host) {
			names := h.workplace(4 + h.IntN(3))
			for _, name := range names[:2] {
				h.discovers(name, nil)
			}
		},
	},
	{
		name: "troubleshooting",
		about: "admins whose everyday programs are those that intruders discover a host with; the account of one is stolen " +
			"with two signs",
		days: watched,
		build: func(h *host) {
			h.begin()
			h.poller(h.began)
			names := sample(h, team, 2+h.IntN(3))
			for _, name := range names {
				p, w := h.newPerson(name), h.newWorker()
				w.vocabulary = slices.Concat(sample(h, around, 12), w.vocabulary)
				h.worksEveryDay(p, w, h.spread(1, 6), h.spread(2, 12))
			}
			h.discovers(names[0], sample(h, oneSign, 2))
		},
	},
	{
		name: "restless",
		about: "no intruder: people who try new programs all the time, one more colleague, an admin who begins to " +
			"troubleshoot",
		days: watched,
		build: func(h *host) {
			h.begin()
			h.poller(h.began)
			names := sample(h, team, 4)
			for _, name := range names {
				p, w := h.newPerson(name), h.newWorker()
				w.explores = h.between(0.1, 0.4)
				h.worksEveryDay(p, w, h.spread(0.7, 5), h.spread(2, 12))
			}
			p, w := h.newPerson("joiner"), h.newWorker()
			first := h.dayOf(h.began) + 20 + h.IntN(20)
			h.worksFrom(p, w, h.spread(0.7, 5), h.spread(2, 12), first, h.days)
			// What they do on one day is what an intruder does.
			p, w = h.people[names[0]], h.newWorker()
			w.vocabulary, w.explores = sample(h, around, 10), 0.2
			h.everyday(p, w, h.moment(30+h.IntN(30), h.around(p.hours[0], p.hours[1])), pick(h, p.sources), true, p.commands)
		},
	},
	{
		name: "daemons",
		about: "a web application whose account runs programs of its own; a shell under it discovers, by a parent that " +
			"is usual",
		days: watched,
		build: func(h *host) {
			h.begin()
			h.poller(h.began)
			for _, name := range sample(h, team, 2) {
				h.worksEveryDay(h.newPerson(name), h.newWorker(), h.spread(0.7, 4), h.spread(2, 10))
			}
			own := sample(h, served, 3+h.IntN(5))
			parent := pick(h, runners)
			command := pick(h, commands)
			for d := range h.days {
				for range h.poisson(6) {
					at := h.moment(d, h.between(0, 24))
					for range 1 + h.IntN(4) {
						h.exec(match{at: at, user: "www-data", command: pick(h, own), parent: "/usr/bin/sh", folder: "/",
							entry: process.EntryInit})
						at = at.Add(time.Duration(h.ExpFloat64() * 20 * float64(time.Second)))
					}
				}
				for range h.poisson(0.5) {
					h.exec(match{at: h.moment(d, h.between(0, 24)), user: "www-data", command: command, parent: parent, folder: "/",
						entry: process.EntryInit})
				}
			}
			m := match{at: h.late(-1), user: "www-data", parent: parent, entry: process.EntryInit, folder: "/"}
			h.surrounded("shell under a usual parent", nil, m, commands, sample(h, around, 3+h.IntN(6)))
		},
	},
}

// withMatchesOnly are the same kinds of hosts, on which nothing is seen that no rule means.
func withMatchesOnly(which []kind) []kind {
	blind := slices.Clone(which)
	for i := range blind {
		build := blind[i].build
		blind[i].build = func(h *host) {
			h.matchesOnly = true
			build(h)
		}
	}
	return blind
}

// oneSign are what a stolen account may differ by.
var oneSign = []string{"address", "hour", "parent", "terminal"}

// The pools of programs. Who runs them draws a vocabulary of their own.
var (
	// everydayPrograms are what people run, the more common first.
	everydayPrograms = []string{
		"ls", "cat", "vim", "git", "grep", "less", "sudo", "ssh", "tail", "systemctl", "cp", "rm", "make", "python3",
		"mkdir", "mv", "find", "curl", "ps", "df", "journalctl", "head", "apt", "docker", "tar", "top", "nano", "sed",
		"awk", "chmod", "scp", "rsync", "htop", "man", "diff", "wc", "sort", "du", "chown", "which", "ping", "touch",
		"wget", "free", "ip", "node", "npm", "go", "kubectl", "psql", "tmux", "xargs", "date", "ln", "gzip", "crontab",
		"mysql", "dig", "ssh-keygen", "id", "w", "hostname", "uptime", "kill", "unzip", "pip", "java", "mvn", "gcc",
		"cmake", "gdb", "strace", "ansible", "terraform", "openssl", "jq", "tree", "screen", "uname", "whoami", "file",
		"stat", "watch", "tee", "env", "mount", "lsblk", "dpkg", "lsof", "nginx", "apachectl", "php", "composer", "ruby",
		"bundle", "perl", "redis-cli", "mongo", "helm", "vault", "aws", "gcloud", "az", "cargo", "rustc", "emacs", "zip",
		"ifconfig", "last", "nslookup", "telnet", "nc", "tcpdump", "md5sum", "sha256sum", "base64", "xxd", "ldd",
		"readelf", "objdump", "nm", "getent", "groups", "passwd", "usermod", "iptables", "ufw", "fdisk", "swapon",
		"dmesg", "lscpu", "lspci", "cut", "tr", "uniq", "split", "seq", "yes", "bc", "expr", "time", "timeout", "nohup",
		"screenfetch", "fzf", "rg", "bat", "exa",
	}
	// around are what intruders discover a host with.
	around = []string{"id", "whoami", "uname", "w", "who", "last", "ps", "hostname", "cat", "ls", "ip", "ifconfig", "find",
		"env", "mount", "df", "crontab", "groups", "getent", "lscpu", "uptime", "free", "arp", "sudo", "systemctl", "wget",
		"curl", "tar", "dpkg", "top"}
	// served are what daemons run for their own work.
	served = []string{"convert", "sendmail", "gs", "pdftotext", "curl", "gzip", "node", "ffmpeg", "identify", "tar", "git",
		"date", "cat", "rm"}
)

// worker is what somebody runs in their sessions.
type worker struct {
	vocabulary []string // the more usual first
	explores   float64  // share of programs that come from everybody's pool
	project    []string // programs that they have to do with for some days
	until      time.Time
}

func (h *host) newWorker() *worker {
	w := &worker{explores: h.spread(0.003, 0.06)}
	for n := 15 + h.IntN(45); len(w.vocabulary) < n; {
		if p := h.zipf(everydayPrograms, 0.7); !slices.Contains(w.vocabulary, p) {
			w.vocabulary = append(w.vocabulary, p)
		}
	}
	return w
}

// zipf draws one of a pool, the earlier ones more often.
func (h *host) zipf(pool []string, exponent float64) string {
	sum := 0.0
	for i := range pool {
		sum += math.Pow(float64(i+1), -exponent)
	}
	at := h.Float64() * sum
	for i, one := range pool {
		if at -= math.Pow(float64(i+1), -exponent); at <= 0 {
			return one
		}
	}
	return pool[len(pool)-1]
}

// program is what somebody runs next.
func (h *host) program(w *worker, at time.Time) string {
	switch {
	case at.Before(w.until) && h.chance(0.4):
		return pick(h, w.project)
	case h.chance(w.explores):
		return h.zipf(everydayPrograms, 0.4)
	}
	return h.zipf(w.vocabulary, 1)
}

// workplace is so many people with everyday work, and an agent.
func (h *host) workplace(people int) []string {
	h.begin()
	h.poller(h.began)
	names := sample(h, team, people)
	for _, name := range names {
		h.worksEveryDay(h.newPerson(name), h.newWorker(), h.spread(0.7, 5), h.spread(2, 12))
	}
	return names
}

// worksEveryDay has a person work: so many sessions a week with the tools, and so many without.
func (h *host) worksEveryDay(p *person, w *worker, with, without float64) {
	h.worksFrom(p, w, with, without, 0, h.days)
}

func (h *host) worksFrom(p *person, w *worker, with, without float64, first, last int) {
	for d := first; d < min(last, h.days); d++ {
		share := 1.
		if d%7 >= 5 {
			share = p.weekend
		}
		for i, rate := range []float64{with, without} {
			for range h.poisson(rate / 5 * share) {
				at := h.moment(d, h.around(p.hours[0], p.hours[1]))
				if h.chance(0.06) {
					w.project, w.until = sample(h, everydayPrograms, 3+h.IntN(5)), at.Add(daysLong(h.between(0.1, 4)))
				}
				source := pick(h, p.sources)
				if h.chance(p.travel) {
					source = h.elsewhere()
				}
				var tools []string
				if i == 0 {
					tools = p.commands
					if h.chance(p.explores) {
						tools = commands
					}
				}
				h.everyday(p, w, at, source, !h.chance(p.remote), tools)
			}
		}
	}
}

// everyday is a session of a person: everyday programs, and among them some tools.
func (h *host) everyday(p *person, w *worker, at time.Time, source netip.Addr, tty bool, tools []string) {
	id := h.newSession()
	m := match{user: p.name, login: p.name, parent: p.shell, tty: tty, entry: process.EntrySSHD, source: source,
		folder: pick(h, p.folders), session: id}
	left, tool := 3+int(h.ExpFloat64()*12), 0
	if tools != nil {
		tool = 1 + h.IntN(3)
	}
	for left+tool > 0 {
		m.at, m.user, m.parent = at, p.name, p.shell
		if h.IntN(left+tool) < tool {
			tool--
			m.command = pick(h, tools)
			if h.chance(p.sudo) {
				m.user, m.parent = "root", "/usr/bin/sudo"
			}
		} else {
			left--
			m.command = h.program(w, at)
		}
		h.exec(m)
		at = at.Add(time.Duration(h.ExpFloat64() * 40 * float64(time.Second)))
	}
}

// discovers is somebody else behind a person's login, with these signs, who discovers a host with more than the tools.
func (h *host) discovers(name string, signs []string) {
	m := h.behind(name, signs)
	h.surrounded("stolen account, discovery", signs, m, commands, sample(h, around, 3+h.IntN(7)))
}

// workElsewhere is somebody else behind a person's login, with these signs, who works as they are used to.
func (h *host) workElsewhere(name string, signs []string) {
	m, w := h.behind(name, signs), h.newWorker()
	var programs []string
	for range 4 + h.IntN(16) {
		programs = append(programs, h.program(w, m.at))
	}
	h.surrounded("stolen account, at work", signs, m, commands, programs)
}

// behind is a match of somebody else behind a person's login, with these signs.
func (h *host) behind(name string, signs []string) match {
	p := h.people[name]
	m := h.asStolen(p, signs)
	m.folder = pick(h, p.folders)
	return m
}

// surrounded is an intrusion in a session of its own: one to four tools, and other programs before and after.
func (h *host) surrounded(kind string, signs []string, m match, tools, programs []string) {
	a := &attack{kind: kind, signs: signs, rule: mission}
	h.attacks = append(h.attacks, a)
	if m.login != "" {
		m.session = h.newSession()
	}
	tool := 1 + h.IntN(4)
	for left := len(programs); left+tool > 0; {
		m.attack = nil
		if h.IntN(left+tool) < tool {
			tool--
			m.command, m.attack = pick(h, tools), a
		} else {
			left--
			m.command = programs[left]
		}
		h.exec(m)
		m.at = m.at.Add(time.Duration(1+h.ExpFloat64()*25) * time.Second)
	}
}
