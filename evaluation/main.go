// SPDX-License-Identifier: Apache-2.0

// Command evaluation measures the models on simulated hosts, of which it knows who is an intruder.
//
// A host is made from a kind and a seed: people with habits, agents, jobs, and one to three intruders, who draw their commands, folders, parents, hours and addresses from
// the same pools as everybody (host.go, kinds.go, attack.go). A detector of the default configuration sees it from beginning to end (measure.go). An alert finds an attack when
// it is about one of its looks; all others are false alarms, those on newcomers and on jobs that somebody added among them.
//
// The constants of the context model are chosen on seeds 1 to 10 and reported on seeds 101 to 140, which nobody looks at while choosing.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	_ "time/tzdata" // the hosts' zones, on a machine without them
)

func main() {
	from := flag.Int("from", 1, "the first seed")
	to := flag.Int("to", 10, "the last seed")
	days := flag.Int("days", 60, "days of a host")
	model := flag.String("model", "context", "rare or context")
	only := flag.String("kinds", "", "only these kinds of hosts, with commas; empty: all")
	ablated := flag.String("ablate", "", "the feature that intruders show as the account's owner does")
	list := flag.Bool("list", false, "list the attacks that were missed and the false alarms, too")
	report := flag.String("report", "", "write the whole report, tables and plots, to this folder instead; of seeds 101 to 140")
	write := flag.String("write", "", "write the hosts' events and the truth about them to this folder instead")
	flag.Parse()
	var which []kind
	for _, k := range kinds {
		if *only == "" || strings.Contains(","+*only+",", ","+k.name+",") {
			which = append(which, k)
		}
	}
	err := func() error {
		switch {
		case *report != "":
			return writeReport(*report)
		case *write != "":
			return writeHosts(*write, which, seeds(*from, *to), *days)
		}
		outcomes, err := run(which, seeds(*from, *to), *days, *model, *ablated)
		if err != nil {
			return err
		}
		printOutcomes(outcomes, *list)
		return nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func seeds(from, to int) []int {
	var s []int
	for i := from; i <= to; i++ {
		s = append(s, i)
	}
	return s
}

// printOutcomes is for whoever works on the model.
func printOutcomes(outcomes []outcome, list bool) {
	var all tally
	for _, k := range kinds {
		t := tallyOf(outcomes, k.name)
		if t.months > 0 {
			fmt.Printf("%-12s %3d/%3d  %5.2f  %v\n", k.name, t.found, t.attacks, t.rate(), t.median())
		}
	}
	all = tallyOf(outcomes, "")
	fmt.Printf("%-12s %3d/%3d (%.0f%%)  %5.2f  %v\n", "all", all.found, all.attacks, 100*all.recall(), all.rate(), all.median())
	points := curve(outcomes)
	for _, rate := range rates {
		p := at(points, rate)
		fmt.Printf("at %.1f false alarms: %.0f%% (threshold %.0f)\n", rate, 100*p.recall, p.threshold)
	}
	observed, years := calibration(outcomes)
	for b, band := range bands {
		fmt.Printf("scores from %v: %.2f a year, expected %.2f\n", band.from, float64(observed[b])/years, band.expectedYearly)
	}
	if !list {
		return
	}
	for i := range outcomes {
		for _, a := range outcomes[i].attacks {
			if !a.alerted {
				fmt.Println("MISSED", a.why)
			}
		}
		for _, p := range outcomes[i].benign {
			if p.score >= bands[0].from {
				fmt.Println("FALSE", p.why)
			}
		}
	}
}
