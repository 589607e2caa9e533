// SPDX-License-Identifier: Apache-2.0

// Command evaluation measures the models on simulated hosts, of which it knows who is an intruder.
//
// A host is made from a kind and a seed: people with habits, agents, jobs, and intruders, who draw their commands,
// folders, parents, hours and addresses from the same pools as everybody (host.go, attack.go, and the kinds in
// kinds*.go). A detector of the default configuration sees it from beginning to end (measure.go). An alert finds an
// attack when it is about one of its matches; all others are false alarms, those on newcomers and on jobs that somebody
// added among them.
//
// The constants of the context model are chosen on seeds 1 to 10 and reported on seeds 101 to 140, which stay unseen
// during the choice.
//
//	go -C internal/evaluation run . -kinds young,jump -from 1 -to 10
//	go -C internal/evaluation run . -kinds second -to 4 -v
//
// prints a table of what is found, of false alarms, and of both by the host's age; -v adds each attack missed and each
// false alarm, with its parts.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // the hosts' zones, on a machine without them
)

func main() {
	from := flag.Int("from", 1, "the first seed")
	to := flag.Int("to", 10, "the last seed")
	days := flag.Int("days", days, "days of a host, where its kind has no length of its own")
	model := flag.String("model", "context", "rare or context")
	only := flag.String("kinds", "",
		"only these kinds or groups (settled, young, hard, sessions, rules) of hosts, with commas; empty: all")
	ablated := flag.String("ablate", "", "the feature that intruders show as the account's owner does")
	verbose := flag.Bool("v", false, "print each missed attack and each false alarm, with its parts")
	matchesOnly := flag.Bool("matches-only", false, "the detector sees nothing that no rule means, as from some sources")
	blind := flag.Bool("blind", false, "print instead from which hour on a stranger is found")
	blocks := flag.Bool("blocks", false, "print instead what all rules together find and cost")
	report := flag.String("report", "",
		"write the whole report, tables and plots, to this folder instead; of seeds 101 to 140")
	write := flag.String("write", "", "write the hosts' events and the truth about them to this folder instead")
	flag.Parse()
	which, err := chosenKinds(*only)
	if *matchesOnly {
		which = withMatchesOnly(which)
	}
	if err == nil {
		err = func() error {
			switch {
			case *report != "":
				return writeReport(*report)
			case *write != "":
				return writeHosts(*write, which, seeds(*from, *to), *days)
			case *blocks:
				return stories(os.Stdout, seeds(*from, *to))
			case *blind:
				return blindTime(os.Stdout, seeds(*from, *to))
			}
			outcomes, err := run(which, seeds(*from, *to), *days, *model, *ablated)
			if err != nil {
				return err
			}
			printOutcomes(outcomes, *verbose)
			return nil
		}()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// chosenKinds are those with these names or of groups with these names; all for "".
func chosenKinds(names string) ([]kind, error) {
	var which []kind
	left := map[string]bool{}
	for name := range strings.SplitSeq(names, ",") {
		left[name] = true
	}
	all := left[""]
	delete(left, "")
	for _, g := range groups {
		for _, k := range g.kinds {
			if all || slices.Contains(strings.Split(names, ","), g.name) || left[k.name] {
				which = append(which, k)
			}
			delete(left, k.name)
		}
		delete(left, g.name)
	}
	for name := range left {
		return nil, fmt.Errorf("-kinds: %q is neither a kind of host nor a group of kinds", name)
	}
	return which, nil
}

func seeds(from, to int) []int {
	var s []int
	for i := from; i <= to; i++ {
		s = append(s, i)
	}
	return s
}

// printOutcomes is for whoever works on the model.
func printOutcomes(outcomes []outcome, verbose bool) {
	if verbose {
		for i := range outcomes {
			for _, a := range outcomes[i].attacks {
				if !a.alerted {
					fmt.Println("MISSED", days24(a.age),
						cmp.Or(a.why, a.kind+" on "+outcomes[i].kind+": no rule is about it"))
				}
			}
			for _, p := range outcomes[i].alarms {
				fmt.Println("FALSE ", days24(p.age), p.why)
			}
		}
	}
	row := func(name string, t tally) {
		fmt.Printf("%-32s %4d/%4d %4.0f%%  %5.2f  %5.2f  %3d  %v\n", name, t.found, t.attacks, 100*t.recall(), t.rate(),
			t.monthly(), t.twoDay, t.median().Round(time.Second))
	}
	fmt.Printf("%-32s %9s %5s  %5s  %5s  %3s  %s\n", "", "found", "", "false", "month", "48h", "after")
	for i := range groups {
		g := &groups[i]
		own := g.of(outcomes)
		if len(own) == 0 {
			continue
		}
		if g.name == "rules" {
			for _, id := range rulesOf(own) {
				row(id, tallyOf(own, ofRule(id)))
			}
			continue
		}
		for _, k := range g.kinds {
			if t := tallyOf(own, ofKind(k.name)); t.hosts > 0 {
				row(k.name, t)
			}
		}
		row("ALL "+g.name, tallyOf(own, everything))
	}
	own := oneRule(outcomes)
	if len(own) == 0 {
		return
	}
	fmt.Println()
	for _, kind := range attackKinds(own) {
		t := attacksOf(own, kind)
		fmt.Printf("%-40s %4d/%4d %4.0f%%\n", kind, t.found, t.attacks, 100*t.recall())
	}
	fmt.Println()
	for _, a := range ages {
		t := a.of(own)
		fmt.Printf("%-18s found %4d/%4d %4.0f%%  %5.2f false alarms a host-month\n", a.name, t.found, t.attacks,
			100*t.recall(), t.rate())
	}
	points := curve(own)
	for _, rate := range rates {
		p := at(points, rate)
		fmt.Printf("at %.1f false alarms: %.0f%% (threshold %.0f)\n", rate, 100*p.recall, p.threshold)
	}
	observed, years := calibration(own, anyAge)
	early, earlyYears := calibration(own, firstMonth)
	for b, band := range bands {
		expected := band.expectedYearly
		fmt.Printf("scores from %v: expected %.2f a year, observed over expected %.2f, in the first month %.2f\n",
			band.from, expected, float64(observed[b])/years/expected, float64(early[b])/earlyYears/expected)
	}
}

func days24(t time.Duration) string { return fmt.Sprintf("day %4.1f", t.Hours()/24) }
