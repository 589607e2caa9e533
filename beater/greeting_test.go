// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/module/catalog"
)

func TestTheLineAtStartTellsHowMuchIsKnown(t *testing.T) {
	day := 24 * time.Hour
	for _, c := range []struct {
		name, model string
		learned     learnedSoFar
		want        string
	}{
		{"a new host", "context", learnedSoFar{}, "the context model knows nobody yet: alerts begin 24h0m after the first match, sooner after `reconbeat replay --learn`"},
		{"a new host with rare", "rare", learnedSoFar{}, "the rare model knows nobody yet: alerts begin when there is somebody to be rare against"},
		{"the first day", "context", learnedSoFar{age: 90 * time.Minute, actors: 2}, "the context model has learned for 1h30m and knows 2 actors: alerts begin in 22h30m"},
		{"a host that has learned", "context", learnedSoFar{age: 41*day + day/2, actors: 9}, "the context model has learned for 41.5 days and knows 9 actors"},
		{"rare on a host that has learned", "rare", learnedSoFar{age: 3 * day, actors: 1}, "the rare model has learned for 3.0 days and knows 1 user"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config.Default()
			cfg.Detector.Model = c.model
			require.Equal(t, c.want, (&reconbeat{config: cfg}).knowledge(&c.learned))
		})
	}
}

func TestModulesAreNamedOnce(t *testing.T) {
	runner := func(kind, id, why string) *runner {
		return &runner{source: &source{Module: config.Module{ID: id}, kind: catalog.Kind{Name: kind}}, why: why}
	}
	s := &moduleSet{}
	require.Equal(t, "no module", s.String())
	s.runners = append(s.runners, runner("auditd", "auto", "it works"), runner("ndjson", "ndjson", ""), runner("ndjson", "defend", ""))
	require.Equal(t, "auditd (chosen by auto: it works) and ndjson and ndjson defend", s.String())
}
