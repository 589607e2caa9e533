// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/reconbeat/reconbeat/detector"
)

// greet logs the one line on which a person sees that all is well: sources, rules, and what the model knows.
func (r *reconbeat) greet(waiting int64) {
	line := "watching with " + r.modules.String()
	m := r.stream.counts.model.Load()
	if len(m.rules) == 0 {
		line += "; no rule is enabled, so that nothing is detected"
	} else {
		line += "; rules " + strings.Join(m.rules, ", ")
	}
	line += "; " + r.knowledge(m)
	if waiting > 0 {
		line += fmt.Sprintf("; %s of an earlier run not acknowledged yet", plural(int(waiting), "document"))
	}
	r.logger.Info(line)
}

// knowledge tells how old the model is, whom it knows, and from when on it alerts.
func (r *reconbeat) knowledge(m *learnedSoFar) string {
	d := r.config.Detector
	if m.actors == 0 {
		if d.Model == detector.ModelContext {
			return fmt.Sprintf("the %s model knows nobody yet: alerts begin %s after the first match, sooner after `reconbeat replay --learn`", d.Model, short(d.LearnFor))
		}
		return fmt.Sprintf("the %s model knows nobody yet: alerts begin when there is somebody to be rare against", d.Model)
	}
	who := plural(m.actors, "user")
	if d.Model == detector.ModelContext {
		who = plural(m.actors, "actor")
	}
	line := fmt.Sprintf("the %s model has learned for %s and knows %s", d.Model, short(m.age), who)
	if left := d.LearnFor - m.age; d.Model == detector.ModelContext && left > 0 {
		line += ": alerts begin in " + short(left)
	}
	return line
}

func plural[N int | uint64](n N, what string) string {
	return fmt.Sprintf("%d %s", n, english.PluralWord(int(n), what, ""))
}

// short is a duration as people say it.
func short(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.1f days", d.Hours()/24)
	case d >= time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return d.Round(time.Second).String()
}

// farewell logs what there was, and what is left for the next start.
func (r *reconbeat) farewell(waiting int64) {
	c := r.stream.counts
	line := fmt.Sprintf("watched for %s: %s, %d matched, %s", short(time.Since(r.began)), plural(c.execs.Load(), "program start"), c.matched.Load(), plural(c.alerts.Load(), "alert"))
	if waiting > 0 {
		line += fmt.Sprintf("; the journal keeps %s for the next start", plural(int(waiting), "document"))
	}
	r.logger.Info(line)
}

// String names the modules that run, and tells why `auto` chose one.
func (s *moduleSet) String() string {
	var names []string
	for _, r := range s.list() {
		name := r.source.kind.Name
		if id := r.source.ID; id != name && id != autoModule {
			name += " " + id
		}
		if r.why != "" {
			name += " (chosen by auto: " + r.why + ")"
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return "no module"
	}
	return strings.Join(names, " and ")
}

// seldom is true for 1, 2, 4, 8 ...: what happens with every event is logged that often.
func seldom(n uint64) bool { return bits.OnesCount64(n) == 1 }
