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
var hoursAfter = []int{1, 6, 12, 25, 27, 30, 48, 72, 168}

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
// watched, a table row for who lives there and who comes; then from which hour on nearly all are.
func blindTime(w io.Writer, seeds []int) error {
	var head, line, shares, plainly strings.Builder
	for _, hour := range hoursAfter {
		fmt.Fprintf(&head, " %d h |", hour)
		line.WriteString("---|")
	}
	for _, host := range blindHosts {
		fmt.Fprintf(&plainly, "| %s |", host.name)
		for _, attack := range blindAttacks {
			found := make([]float64, len(hoursAfter))
			for i, hour := range hoursAfter {
				t, err := comesAfter(host.name, host.build, attack.match, hour, seeds)
				if err != nil {
					return err
				}
				found[i] = t.recall()
			}
			fmt.Fprintf(&shares, "| %s | %s |", host.name, attack.name)
			for _, share := range found {
				fmt.Fprintf(&shares, " %.0f%% |", 100*share)
			}
			shares.WriteByte('\n')
			fmt.Fprintf(&plainly, " %s |", foundFrom(found))
		}
		plainly.WriteByte('\n')
	}
	if _, err := fmt.Fprintf(w, "| who is there | who comes |%s\n|---|---|%s\n%s", head.String(), line.String(),
		shares.String()); err != nil {
		return err
	}
	head.Reset()
	for _, attack := range blindAttacks {
		fmt.Fprintf(&head, " %s |", attack.name)
	}
	_, err := fmt.Fprintf(w, "\nThe hour from which on nine of ten are found:\n\n| who is there |%s\n"+
		"|---|---|---|---|\n%s", head.String(), plainly.String())
	return err
}

// nearlyAll is the share of unknown accounts from which on a host counts as no longer blind.
const nearlyAll = 0.9

// foundFrom is the hour from which on nearly all are found, of shares by hoursAfter.
func foundFrom(shares []float64) string {
	for i, hour := range hoursAfter {
		if slices.Min(shares[i:]) >= nearlyAll {
			return fmt.Sprintf("%d h", hour)
		}
	}
	return fmt.Sprintf("later than %d h", hoursAfter[len(hoursAfter)-1])
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
