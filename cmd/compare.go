// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/cmd/instance"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/detector/rare"
	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/module/elasticsearch"
)

// jobs are parts of the names of Elastic's machine learning jobs, and the rules that are about the same programs.
var jobs = map[string]string{
	"linux_network_connection_discovery":    "network-connection-discovery",
	"linux_network_configuration_discovery": "network-configuration-discovery",
	"linux_system_process_discovery":        "process-discovery",
	"linux_system_user_discovery":           "user-discovery",
	"linux_system_information_discovery":    "system-information-discovery",
	"linux_rare_sudo_user":                  "sudo-use",
	"linux_rare_user_compiler":              "compiler-use",
}

// comparison is what a machine learning job and a replay have found in the same events. Both are compared by user and
// bucket, as the job finds somebody.
type comparison struct {
	job   string
	rule  *detector.Rule // that is about the job's programs
	span  time.Duration  // of a bucket
	found map[moment]*finding
}

// moment is a user in one bucket.
type moment struct {
	start int64 // of the bucket, in milliseconds since 1970
	user  string
}

// finding is what is known of a moment. It is also a line of the comparison as NDJSON.
type finding struct {
	Timestamp time.Time `json:"@timestamp"` // of the bucket's start
	User      string    `json:"user"`
	FoundBy   string    `json:"found_by"`       // both, job or reconbeat
	Job       *float64  `json:"job,omitempty"`  // the record's score; nil: the job has none
	Rare      *float64  `json:"rare,omitempty"` // of the same function here
	// Score is the highest of the model in charge; nil: it has seen no match, or only learned yet.
	Score    *float64 `json:"score,omitempty"`
	Learning bool     `json:"learning,omitempty"`
	Matches  int      `json:"matches"`
	Host     string   `json:"host,omitempty"`    // of the highest score
	Command  string   `json:"command,omitempty"` // of the highest score
	Reason   string   `json:"reason,omitempty"`  // of the highest score
}

// newComparison is a comparison with a job, before either has found anything.
func newComparison(job string, cfg config.Config, rulesPath string) (*comparison, error) {
	rules, err := config.LoadRules(rulesPath, cfg.Detector.Rules)
	if err != nil {
		return nil, err
	}
	enabled := slices.DeleteFunc(rules, func(r detector.Rule) bool { return !r.Enabled })
	meant := ""
	for part, rule := range jobs {
		if strings.Contains(job, part) {
			meant = rule
		}
	}
	if meant == "" && len(enabled) == 1 {
		meant = enabled[0].ID
	}
	if meant == "" {
		return nil, fmt.Errorf("--compare-job %s: it is none of Elastic's jobs, and %d rules are enabled: enable the one "+
			"alone that is about the job's programs", job, len(enabled))
	}
	i := slices.IndexFunc(enabled, func(r detector.Rule) bool { return r.ID == meant })
	if i < 0 {
		return nil, fmt.Errorf("--compare-job %s: the rule %s, which is about the job's programs, is not enabled; see "+
			"docs/rules.md", job, meant)
	}
	return &comparison{
		job: job, rule: &enabled[i], span: cfg.Detector.BucketSpan, found: map[moment]*finding{},
	}, nil
}

// at is the finding of a user in the bucket of a time.
func (c *comparison) at(t time.Time, user string) *finding {
	start := t.UnixMilli() - t.UnixMilli()%c.span.Milliseconds()
	m := moment{start, user}
	if c.found[m] == nil {
		c.found[m] = &finding{Timestamp: time.UnixMilli(start).UTC(), User: user}
	}
	return c.found[m]
}

// document takes what the replay says of a match.
func (c *comparison) document(doc *beat.Event) {
	matched, _ := doc.Fields.GetValue("reconbeat.rules")
	rules, _ := matched.([]string)
	if text(doc.Fields, "event.action") != "exec" || !slices.Contains(rules, c.rule.ID) {
		return
	}
	f := c.at(doc.Timestamp, name(doc.Fields, "user"))
	f.Matches++
	value, err := doc.Fields.GetValue("reconbeat.anomaly.score")
	score, ok := value.(float64)
	if err != nil || !ok || isLearning(doc) {
		f.Learning = true
		return
	}
	if f.Score == nil || score > *f.Score {
		f.Score, f.Host, f.Command = &score, text(doc.Fields, "host.name"), command(doc)
		f.Reason = text(doc.Fields, "event.reason")
	}
}

// record takes a record of the replay's own.
func (c *comparison) record(rule *detector.Rule, r rare.Record) {
	if rule.ID == c.rule.ID {
		score := r.Score
		c.at(r.BucketStart, r.User).Rare = &score
	}
}

// recordOfJob takes a record of the job's. A job that is split, as by host, has several for a user and a bucket, of
// which the highest counts.
func (c *comparison) recordOfJob(start time.Time, user string, score float64) {
	if f := c.at(start, user); f.Job == nil || score > *f.Job {
		f.Job = &score
	}
}

// ask takes what the job has found since a time.
func (c *comparison) ask(ctx context.Context, b *instance.Beat, cfg config.Config, from time.Time) error {
	options, err := configuredCluster(b, cfg)
	if err != nil {
		return err
	}
	list, err := elasticsearch.Anomalies(ctx, options, b.Info.Logger, c.job, from, time.Now())
	if err != nil {
		return fmt.Errorf("--compare-job: %w", err)
	}
	for i := range list {
		if list[i].Span != c.span {
			return fmt.Errorf("--compare-job: the bucket_span of job %s is %s and detector.bucket_span is %s: set the latter "+
				"to the job's", c.job, list[i].Span, c.span)
		}
		c.recordOfJob(list[i].Start, list[i].User, list[i].Score)
	}
	return nil
}

// within forgets what was found in other buckets than those of a time.
func (c *comparison) within(first, last time.Time) {
	first = first.Add(-c.span) // the bucket that first is in began later than that
	maps.DeleteFunc(c.found, func(_ moment, f *finding) bool {
		return !f.Timestamp.After(first) || f.Timestamp.After(last)
	})
}

// findings are what either has found, by their time.
func (c *comparison) findings() (list []*finding) {
	over := func(score *float64) bool { return score != nil && *score >= c.rule.Threshold }
	for _, f := range c.found {
		switch job, here := over(f.Job), over(f.Score); {
		case job && here:
			f.FoundBy = "both"
		case job:
			f.FoundBy = "job"
		case here:
			f.FoundBy = "reconbeat"
		default:
			continue
		}
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b *finding) int {
		return cmp.Or(a.Timestamp.Compare(b.Timestamp), strings.Compare(a.User, b.User))
	})
	return list
}

// write prints what each has found that the other has not, and what both have.
func (c *comparison) write(out io.Writer, format string) error {
	list := c.findings()
	if format == formatNDJSON {
		encoder := json.NewEncoder(out)
		for _, f := range list {
			if err := encoder.Encode(f); err != nil {
				return fmt.Errorf("printing the comparison: %w", err)
			}
		}
		return nil
	}
	for _, part := range []struct{ by, title string }{
		{"job", "Only the job"}, {"reconbeat", "Only reconbeat"}, {"both", "Both"},
	} {
		of := slices.DeleteFunc(slices.Clone(list), func(f *finding) bool { return f.FoundBy != part.by })
		fmt.Fprintf(out, "%s: %d\n", part.title, len(of))
		for i, f := range of {
			if i == 0 {
				fmt.Fprintf(out, comparisonFormat, "BUCKET", "JOB", "RARE", "SCORE", "USER", "HOST", "COMMAND")
			}
			score := points(f.Score)
			switch {
			case f.Matches == 0:
				score = "unread"
			case f.Score == nil:
				score = learning
			}
			fmt.Fprintf(out, comparisonFormat, f.Timestamp.Format("2006-01-02 15:04"), points(f.Job), points(f.Rare),
				score, cut(printable(f.User), 20), cut(printable(f.Host), 20), printable(f.Command))
		}
		fmt.Fprintln(out)
	}
	_, err := fmt.Fprintln(out, c.agreement())
	return err
}

const comparisonFormat = "  %-16s %6s %6s %8s  %-20s %-20s %s\n"

func points(score *float64) string {
	if score == nil {
		return ""
	}
	return fmt.Sprintf("%.1f", *score)
}

// agreement says how far the same function agrees with the job: whether both have read the same documents.
func (c *comparison) agreement() string {
	var theirs, both int
	var most float64
	for f := range maps.Values(c.found) {
		if f.Job == nil {
			continue
		}
		theirs++
		if f.Rare != nil {
			both++
			most = max(most, math.Abs(*f.Job-*f.Rare))
		}
	}
	if theirs == 0 {
		return fmt.Sprintf("The job %s has no record of this time.", c.job)
	}
	line := fmt.Sprintf("Of the job's %s, reconbeat's rare model has %d", plural.Of(theirs, "record"), both)
	if both > 0 {
		line += fmt.Sprintf(", with scores that differ by at most %.1f", most)
	}
	return line + fmt.Sprintf(". A score of %g and more counts as found.", c.rule.Threshold)
}
