// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"time"

	"github.com/reconbeat/reconbeat/process"
)

// hard are hosts on which an intruder hides: behind a usual account with a tool of their own, among many
// newcomers, or among further intruders.
var hard = []kind{
	{
		name: "disguised",
		about: "people who use the tools every other day; two of them, as usual in all else, with a tool that was copied, " +
			"renamed, in memory, or started by the loader",
		days: watched,
		build: func(h *host) {
			h.begin()
			h.poller(h.began)
			names := sample(h, team, 2+h.IntN(3))
			for _, name := range names {
				h.works(h.newPerson(name), h.spread(2, 8), 0, h.days)
			}
			for _, name := range names[:2] {
				p := h.people[name]
				m := match{at: h.next(h.aged(14, 58), h.around(p.hours[0], p.hours[1])), user: name, login: name,
					disguise: h.copied(name), parent: p.shell, tty: true}
				m.entry, m.source, m.folder = process.EntrySSHD, pick(h, p.sources), pick(h, p.folders)
				h.visit("disguised tool", []string{"executable"}, 1+h.IntN(4), m, p.commands)
			}
		},
	},
	{
		name:  "workshop",
		about: "tools are kept in /opt and in homes, and used from there; one who uses them every other day brings a copy",
		days:  watched,
		build: func(h *host) {
			h.begin()
			h.poller(h.began)
			h.polls(poll{every: time.Duration(h.spread(1, 60) * float64(time.Minute)), user: pick(h, pollers),
				command: pick(h, commands), parent: pick(h, agents), disguise: pick(h, kept[2:]), from: h.began})
			names := sample(h, team, 3+h.IntN(3))
			for _, name := range names {
				p := h.newPerson(name)
				if h.chance(0.7) {
					p.disguise, p.own = pick(h, kept), pick(h, []float64{0.1, 0.4, 1})
				}
				h.works(p, h.spread(1, 8), 0, h.days)
			}
			p := h.people[names[0]]
			m := match{at: h.next(h.aged(14, 58), h.around(p.hours[0], p.hours[1])), user: p.name, login: p.name,
				disguise: h.copied(p.name), parent: p.shell, tty: true}
			m.entry, m.source, m.folder = process.EntrySSHD, pick(h, p.sources), pick(h, p.folders)
			h.visit("disguised tool where tools are kept", []string{"executable"}, 1+h.IntN(4), m, p.commands)
		},
	},
	{
		name: "jump",
		about: "a jump host of 20 to 80 people, joiners among them; two accounts new to it with one sign more or " +
			"two, and a stolen one with two",
		build: func(h *host) {
			h.agent(time.Duration(h.spread(1, 15)*float64(time.Minute)), "root", 0, h.days)
			n, top := 20+h.IntN(61), h.between(6, 14)
			for i := range n {
				h.person(fmt.Sprintf("engineer%02d", i+1), top/math.Pow(float64(i+1), 0.8))
			}
			for i := range h.IntN(7) {
				h.works(h.newPerson(fmt.Sprintf("starter%d", i+1)), h.spread(0.5, 5), int(h.between(0.1,
					0.9)*float64(h.days)), h.days)
			}
			for _, name := range sample(h, strangers, 2) {
				h.newcomer(name, sample(h, []string{"address", "hour", "terminal"}, 1+h.IntN(2)))
			}
			h.stolen(fmt.Sprintf("engineer%02d", 1+h.IntN(12)), sample(h, []string{"address", "hour", "parent",
				"terminal"}, 2))
		},
	},
	{
		name:  "storm",
		about: "a host in its habits; an intruder, and later twelve accounts that nobody has seen, within an hour",
		days:  watched,
		build: func(h *host) {
			h.begin()
			h.inItsHabits()
			at := h.aged(10, 40)
			h.serviceShell(at, pick(h, serviceAccounts))
			h.storm(at.Add(daysLong(h.spread(0.003, 14))), 12)
		},
	},
}

// kept are the places in which people and products keep tools of their own.
var kept = []*disguise{{folder: "~/bin/"}, {folder: "~/.local/bin/"}, {folder: "/opt/tools/bin/"},
	{folder: "/opt/agent/embedded/bin/"}, {folder: "/usr/local/bin/"}}

// copied is what an account does to a tool so that nobody who watches the usual one sees it.
func (h *host) copied(name string) *disguise {
	folder := pick(h, []string{"/tmp/", "/tmp/.X11/", "/dev/shm/", "/var/tmp/", "~/", "~/.cache/"})
	called := pick(h, []string{"kworker", "dbus-daemon", "x", ".sess", "update"})
	return pick(h, []*disguise{
		{folder: folder}, {folder: folder}, {folder: folder, name: called}, {folder: "/", name: "memfd:" + called},
		{loader: "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"}, {folder: folder,
			loader: "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"},
	})
}

// newcomer is an account that nobody has seen, with further signs.
func (h *host) newcomer(name string, signs []string) {
	m := match{user: name, login: name, parent: pick(h, shells), tty: true, entry: process.EntrySSHD,
		source: h.address(pick(h, h.networks)), folder: pick(h, folders)}
	hour := h.between(9, 17)
	for _, sign := range signs {
		switch sign {
		case "address":
			m.source = h.elsewhere()
		case "hour":
			hour = h.between(0, 5.5)
		case "terminal":
			m.tty = false
		}
	}
	m.at = h.late(hour)
	h.intrude("new account", append([]string{"who"}, signs...), m, nil)
}
