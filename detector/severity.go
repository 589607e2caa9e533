// SPDX-License-Identifier: Apache-2.0

package detector

// Where the severity of an alert comes from.
const (
	SeverityRule   = "rule"   // its rule's: low, where nobody has changed it
	SeverityBanded = "banded" // its score's band
)

// bandSeverities are the values of event.severity that Elastic Security knows as low, medium, high and critical, by the
// bands of scores: from the threshold, from 50, from 75, from 90. They are its default risk scores, too.
var bandSeverities = [highestBand + 1]int{21, 47, 73, 99}

// severity is event.severity of an alert.
func (f *Finding) severity() int {
	if f.Banded && f.Kind != Correlated {
		return bandSeverities[f.band()]
	}
	if f.Raised > 0 {
		return max(f.Rule.SeverityNumber(), bandSeverities[f.Raised])
	}
	return f.Rule.SeverityNumber()
}

// riskScore is event.risk_score of an alert.
func (f *Finding) riskScore() float64 {
	if f.Banded && f.Kind != Correlated {
		return float64(bandSeverities[f.band()])
	}
	if f.Raised > 0 {
		return max(f.Rule.RiskScore, float64(bandSeverities[f.Raised]))
	}
	return f.Rule.RiskScore
}
