// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"context"
	"errors"
	"fmt"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	jsonv2 "github.com/go-json-experiment/json"

	"github.com/reconbeat/reconbeat/module"
)

// Anomaly is a record of a machine learning job: what it found of somebody in one bucket.
type Anomaly struct {
	Start       time.Time     // of the bucket
	Span        time.Duration // of the bucket
	User        string        // by_field_value
	Score       float64       // when the bucket closed, 0 to 100; the job goes on changing record_score
	Probability float64
}

// anomalies are the indices of what the jobs have found.
const anomalies = ".ml-anomalies-*"

// errNoJob says that nothing is known of a job.
var errNoJob = errors.New("it has no results; is its name right, and has the key the privilege read on " +
	anomalies + "?")

// Anomalies returns the records that a machine learning job has written of the buckets that began between two times.
// cfg are the options of the module, whose cluster is asked.
func Anomalies(
	ctx context.Context, cfg *conf.C, logger *logp.Logger, job string, from, until time.Time,
) ([]Anomaly, error) {
	env := module.Env{Logger: logger, Stats: &module.Stats{}}
	made, err := New(cfg, env)
	if err != nil {
		return nil, err
	}
	m := made.(*cluster)
	m.Indices = []string{anomalies}
	if m.client, err = connect(ctx, m.Connection, m.Indices, logger); err != nil {
		return nil, err
	}
	defer m.client.close()
	var n int64
	var found []Anomaly
	err = m.stubborn(ctx, func() error {
		n, err = m.client.count([]any{term("job_id", job)})
		return err
	})
	if err == nil && n > 0 {
		err = m.stubborn(ctx, func() error {
			found, err = m.anomalies(ctx, job, from.UnixMilli(), until.UnixMilli()+1)
			return err
		})
	}
	switch {
	case err == nil && ctx.Err() != nil:
		err = ctx.Err()
	case err == nil && n == 0:
		err = errNoJob
	}
	if err != nil {
		return nil, fmt.Errorf("reading what the job %s has found: %w", job, err)
	}
	return found, nil
}

// anomalies reads records as search after search, the oldest first.
func (m *cluster) anomalies(ctx context.Context, job string, from, until int64) (found []Anomaly, err error) {
	request := search(mostPage, sorted("timestamp", "asc"), []any{
		term("job_id", job), term("result_type", "record"), eitherOr("is_interim", "false"),
		between("timestamp", from, until),
	})
	request["_source"] = recordFields
	err = m.pages(ctx, request, func(hits []hit) error {
		for i := range hits {
			a, err := anomaly(&hits[i])
			if err != nil {
				return errEmit{fmt.Errorf("%s/_doc/%s: %w", hits[i].Index, hits[i].ID, err)} // it stays so
			}
			found = append(found, a)
		}
		return nil
	})
	return found, err
}

var recordFields = []string{
	"bucket_span", "by_field_name", "by_field_value", "initial_record_score", "record_score", "probability",
}

// anomaly reads a record.
func anomaly(h *hit) (Anomaly, error) {
	var r struct {
		BucketSpan         int64    `json:"bucket_span"` // in seconds
		ByFieldName        string   `json:"by_field_name"`
		ByFieldValue       string   `json:"by_field_value"`
		InitialRecordScore *float64 `json:"initial_record_score"`
		RecordScore        float64  `json:"record_score"`
		Probability        float64  `json:"probability"`
	}
	if err := jsonv2.Unmarshal(h.Source, &r, lenient); err != nil {
		return Anomaly{}, fmt.Errorf("reading a record: %w", err)
	}
	if r.ByFieldName != "user.name" {
		return Anomaly{}, fmt.Errorf("by_field_name is %q; only what is rare by user.name can be compared", r.ByFieldName)
	}
	a := Anomaly{
		Start: time.UnixMilli(h.Sort[0]), Span: time.Duration(r.BucketSpan) * time.Second, User: r.ByFieldValue,
		Score: r.RecordScore, Probability: r.Probability,
	}
	if r.InitialRecordScore != nil {
		a.Score = *r.InitialRecordScore
	}
	return a, nil
}
