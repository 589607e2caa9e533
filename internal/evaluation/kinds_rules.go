// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	"github.com/reconbeat/reconbeat/process"
)

// siblings are hosts that are judged by every shipped rule. Each rule has an attack of its own, and its own
// false alarms.
var siblings = []kind{
	{"siblings",
		"people, agents and jobs that use all kinds of tools; after 60 days a web shell tries one after the other",
		75, func(h *host) {
			h.begin()
			h.everyRule = true
			for _, p := range []struct {
				every  time.Duration
				user   string
				tools  []string
				parent string
			}{
				{
					every: 5 * time.Minute, user: "root",
					tools: []string{"ps aux", "ip -s link", "cat /proc/loadavg", "ss -s"}, parent: pick(h, agents),
				},
				{
					every: time.Hour, user: "telegraf", tools: []string{"uptime", "who", "lsof -i", "conntrack -C"},
					parent: "/usr/bin/telegraf",
				},
				{
					every: 24 * time.Hour, user: "root",
					tools: []string{"ls /var/backups", "grep -c error /var/log/syslog", "hostname",
						"sudo -u backup true"},
					parent: "/usr/bin/sh",
				},
			} {
				for _, command := range sample(h, p.tools, 2+h.IntN(3)) {
					h.polls(poll{every: p.every, user: p.user, command: command, parent: p.parent, from: h.began})
				}
			}
			if h.chance(0.4) {
				h.job(job{user: "jenkins", perDay: 3, commands: []string{"make all", "gcc -c main.c", "uname -m",
					"cat VERSION"}, parent: "/usr/bin/bash", burst: 4})
			}
			for _, name := range sample(h, team, 2+h.IntN(3)) {
				p := h.newPerson(name)
				p.pool, p.commands = tools, sample(h, tools, 8+h.IntN(10))
				h.works(p, h.spread(1, 8), 0, h.days)
			}
			user := pick(h, serviceAccounts[:6])
			m := match{at: h.began.Add(daysLong(h.between(60, 66))), user: user, parent: h.unusedRunner(user),
				entry: process.EntryInit, folder: pick(h, folders[4:])}
			for _, t := range tries {
				h.visit("web shell", []string{"who", "parent"}, 1, m, t.commands)
				h.attacks[len(h.attacks)-1].rule = t.rule
				m.at = m.at.Add(time.Duration(2+h.ExpFloat64()*20) * time.Second)
			}
		}},
}

// tools are what people use, of every rule.
var tools = []string{
	"ls -l", "ls", "cat /etc/hosts", "cat README", "grep -r main .", "tail -f /var/log/syslog", "less notes.txt",
	"head -n 20 data.csv", "uptime", "hostname", "uname -r",
	"ps aux", "ps -ef", "top", "sudo -l", "sudo systemctl status", "sudo -i", "sudo apt update", "who", "w",
	"whoami", "users",
	"ip a", "ip route", "ifconfig", "iptables -L", "arp -a", "ss -tlnp", "netstat -an", "ss", "lsof -i",
	"lsof -nPi", "resolvectl status", "gcc -O2 a.c", "make", "make test",
}

// tries is what an intruder does first, by the rule that means it.
var tries = []struct {
	rule     string
	commands []string
}{
	{"user-discovery", []string{"whoami", "who", "w"}},
	{"system-information-discovery", []string{"uname -a", "cat /etc/passwd", "hostname", "ls -la"}},
	{"sudo-use", []string{"sudo -l"}},
	{"process-discovery", []string{"ps aux", "ps -ef"}},
	{"network-configuration-discovery", []string{"ip a", "ifconfig", "arp -a"}},
	{mission, []string{"ss -tlnp", "netstat -an"}},
	{"network-tool-discovery", []string{"lsof -i", "conntrack -L"}},
	{"compiler-use", []string{"gcc -o x x.c", "make"}},
}
