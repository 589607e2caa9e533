// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/internal/engine"
	"github.com/reconbeat/reconbeat/module/catalog"
)

func TestTheLineAtStartSaysHowMuchIsKnown(t *testing.T) {
	day := 24 * time.Hour
	for _, c := range []struct {
		name, model string
		learned     engine.Known
		want        string
	}{
		{
			"a new host", "context", engine.Known{},
			"the context model knows nobody yet: alerts begin 26h0m after the first match, " +
				"sooner after `reconbeat replay --learn`",
		},
		{
			"a new host with rare", "rare", engine.Known{},
			"the rare model knows nobody yet: alerts begin once others have run such programs",
		},
		{
			"the first day", "context", engine.Known{Age: 90 * time.Minute, Actors: 2},
			"the context model has learned for 1h30m and knows 2 actors: alerts begin in 24h30m",
		},
		{
			"a host that has learned", "context", engine.Known{Age: 41*day + day/2, Actors: 9},
			"the context model has learned for 41.5 days and knows 9 actors",
		},
		{
			"rare on a host that has learned", "rare", engine.Known{Age: 3 * day, Actors: 1},
			"the rare model has learned for 3.0 days and knows 1 user",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config.Default()
			cfg.Detector.Model = c.model
			require.Equal(t, c.want, knowledge(&c.learned, cfg.Detector))
		})
	}
}

func TestModulesAreNamedOnce(t *testing.T) {
	runner := func(kind, id, why string) *runner {
		b := &blueprint{
			kind: catalog.Kind{Name: kind}, why: why, source: &document.Source{Module: config.Module{ID: id}},
		}
		return &runner{blueprint: b}
	}
	s := &moduleSet{}
	require.Equal(t, "no module", s.String())
	s.runners = append(
		s.runners,
		runner("auditd", "auto", "it works"),
		runner("ndjson", "ndjson", ""),
		runner("ndjson", "defend", ""),
	)
	require.Equal(t, "auditd (chosen by auto: it works) and ndjson and ndjson defend", s.String())
}
