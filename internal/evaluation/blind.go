// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/reconbeat/reconbeat/process"
)

// hoursAfter are the times since a host is watched at which blindTime lets somebody come.
var hoursAfter = []int{1, 6, 12, 24, 25, 30, 48, 72, 168}

// blindHosts and blindAttacks are who lives on the host, and who comes to it.
var (
	blindHosts = []struct {
		name  string
		build func(*host)
	}{
		{"nobody looks", func(*host) {}},
		{"an agent", func(h *host) { h.poller(h.began) }},
		{"an agent and one admin", func(h *host) {
			h.poller(h.began)
			h.works(h.newPerson("rosa"), h.spread(1, 4), h.dayOf(h.began), h.days)
		}},
		{"an agent and a team", func(h *host) {
			h.poller(h.began)
			for _, name := range sample(h, team, 3+h.IntN(3)) {
				h.works(h.newPerson(name), h.spread(1, 6), h.dayOf(h.began), h.days)
			}
		}},
	}
	blindAttacks = []struct {
		name  string
		match func(*host) match
	}{
		{"an account from outside", func(h *host) match {
			name := h.unknown()
			return match{user: name, login: name, parent: pick(h, shells), tty: true, entry: process.EntrySSHD,
				source: h.elsewhere(), folder: pick(h, folders)}
		}},
		{"an account from the team's network", func(h *host) match {
			name := h.unknown()
			return match{user: name, login: name, parent: pick(h, shells), tty: true, entry: process.EntrySSHD,
				source: h.address(pick(h, h.networks)), folder: pick(h, folders)}
		}},
		{"a shell of a service", func(h *host) match {
			user := pick(h, serviceAccounts[:13])
			return match{user: user, parent: h.unusedRunner(user), entry: process.EntryInit, folder: pick(h,
				folders[4:])}
		}},
	}
)

// blindTime writes which share of unknown accounts is found that come so many hours after a host began to be
// watched: a table row for who lives there and who comes.
func blindTime(w io.Writer, seeds []int) error {
	var head, line strings.Builder
	for _, hour := range hoursAfter {
		fmt.Fprintf(&head, " %d h |", hour)
		line.WriteString("---|")
	}
	if _, err := fmt.Fprintf(w, "| who is there | who comes |%s\n|---|---|%s\n", head.String(),
		line.String()); err != nil {
		return err
	}
	for _, host := range blindHosts {
		for _, attack := range blindAttacks {
			var cells strings.Builder
			for _, hour := range hoursAfter {
				t, err := comesAfter(host.name, host.build, attack.match, hour, seeds)
				if err != nil {
					return err
				}
				fmt.Fprintf(&cells, " %.0f%% |", 100*t.recall())
			}
			if _, err := fmt.Fprintf(w, "| %s | %s |%s\n", host.name, attack.name, cells.String()); err != nil {
				return err
			}
		}
	}
	return nil
}

// comesAfter lets somebody come so many hours after the hosts of these seeds began to be watched. For every
// hour host and attack are the same.
func comesAfter(name string, build func(*host), comes func(*host) match, hour int, seeds []int) (tally, error) {
	k := kind{name: name, days: 16, build: func(h *host) {
		h.begin()
		build(h)
		m := comes(h)
		m.at = h.began.Add(time.Duration(hour) * time.Hour)
		h.visit("blind", []string{"who"}, 1+h.IntN(4), m, nil)
		h.matches = slices.DeleteFunc(h.matches, func(x match) bool { return x.attack == nil && x.at.After(m.at) })
	}}
	outcomes, err := run([]kind{k}, seeds, 0, "context", "")
	return tallyOf(outcomes, everything), err
}
