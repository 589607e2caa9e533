// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSeverityFollowsTheBands holds the borders of the bands, which are those of the manual.
func TestSeverityFollowsTheBands(t *testing.T) {
	rule := &Rule{ID: "r", Severity: "medium", RiskScore: 47}
	for _, c := range []struct {
		score float64
		want  int
	}{
		{score: 0, want: 21},
		{score: 25, want: 21},
		{score: 49.99, want: 21},
		{score: 50, want: 47},
		{score: 74.99, want: 47},
		{score: 75, want: 73},
		{score: 89.99, want: 73},
		{score: 90, want: 99},
		{score: 100, want: 99},
	} {
		f := Finding{Rule: rule, Score: c.score, Kind: Alert, Banded: true}
		require.Equal(t, c.want, f.severity(), "score %g", c.score)
		require.InDelta(t, c.want, f.riskScore(), 0)
		f.Banded = false
		require.Equal(t, 47, f.severity(), "the rule's, whatever the score")
		require.InDelta(t, 47, f.riskScore(), 0)
	}
	raised := Finding{Rule: rule, Score: 60, Kind: Alert, Banded: true, Raised: 2}
	require.Equal(t, 73, raised.severity(), "a person has called its context malicious")
}

// TestScoresAreJudgedAsPublished holds that what a person reads of a score decides: no alert says 50 and has the
// severity below it.
func TestScoresAreJudgedAsPublished(t *testing.T) {
	for _, context := range []bool{true, false} {
		d, end := watched(t, 20, true)
		o := d.o
		if !context {
			o.Model = ModelRare
		}
		require.NoError(t, d.Configure(o))
		var all []Finding
		for i := range 50 {
			all = d.Judge(daemon(end.Add(time.Duration(i)*time.Hour), fmt.Sprintf("u%d", i%7), uint32(2000+i%7)), 1, all)
		}
		scored := 0
		for i := range all {
			if all[i].Score > 0 {
				scored++
			}
			require.InDelta(t, cents(all[i].Score), all[i].Score, 0)
		}
		require.NotZero(t, scored)
	}
}
