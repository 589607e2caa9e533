// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"fmt"
	"strings"
	"time"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/engine"
	"github.com/reconbeat/reconbeat/internal/plural"
)

// greeting is the one line on which a person sees that all is well: sources, rules, and what the model knows. pending
// is how many documents of an earlier run have not been acknowledged.
func greeting(running *moduleSet, known *engine.Known, d config.Detector, pending int64) string {
	line := "watching with " + running.String()
	if len(known.Rules) == 0 {
		line += "; no rule is enabled, so that nothing is detected"
	} else {
		line += "; rules " + strings.Join(known.Rules, ", ")
	}
	line += "; " + knowledge(known, d)
	if pending > 0 {
		line += fmt.Sprintf("; %s of an earlier run not acknowledged yet", plural.Of(int(pending), "document"))
	}
	return line
}

// knowledge says for how long the model has learned, whom it knows, and when alerts begin.
func knowledge(m *engine.Known, d config.Detector) string {
	if m.Actors == 0 {
		if d.Model == detector.ModelContext {
			return fmt.Sprintf(
				"the %s model knows nobody yet: alerts begin %s after the first match, sooner after `reconbeat replay --learn`",
				d.Model,
				short(d.LearnFor),
			)
		}
		return fmt.Sprintf("the %s model knows nobody yet: alerts begin once others have run such programs", d.Model)
	}
	who := plural.Of(m.Actors, "user")
	if d.Model == detector.ModelContext {
		who = plural.Of(m.Actors, "actor")
	}
	line := fmt.Sprintf("the %s model has learned for %s and knows %s", d.Model, short(m.Age), who)
	if left := d.LearnFor - m.Age; d.Model == detector.ModelContext && left > 0 {
		line += ": alerts begin in " + short(left)
	}
	return line
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

// farewell is the line at the end: what there was, and what is left for the next start.
func farewell(c *engine.Counts, watched time.Duration, pending int64) string {
	line := fmt.Sprintf("watched for %s: %s, %d matched, %s",
		short(watched), plural.Of(c.Execs.Load(), "program start"), c.Matched.Load(), plural.Of(c.Alerts.Load(), "alert"))
	if pending > 0 {
		line += fmt.Sprintf("; the journal keeps %s for the next start", plural.Of(int(pending), "document"))
	}
	return line
}
