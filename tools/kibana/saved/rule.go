// SPDX-License-Identifier: Apache-2.0

package saved

// Rule is a detection rule of Elastic Security, as its import takes it: one in a line.
type Rule struct {
	RuleID              string             `json:"rule_id"`
	Version             int                `json:"version"`
	Name                string             `json:"name"`
	Description         string             `json:"description"`
	Type                string             `json:"type"` // query, threshold or esql
	Language            string             `json:"language"`
	Index               []string           `json:"index,omitempty"` // not of esql, whose query names them
	Query               string             `json:"query"`
	Threshold           *Threshold         `json:"threshold,omitempty"`
	Filters             []Filter           `json:"filters,omitempty"`
	Enabled             bool               `json:"enabled"`
	Interval            string             `json:"interval"`
	From                string             `json:"from"`
	To                  string             `json:"to"`
	MaxSignals          int                `json:"max_signals"`
	RiskScore           int                `json:"risk_score"`
	RiskScoreMapping    []RiskScoreMapping `json:"risk_score_mapping"`
	Severity            string             `json:"severity"`
	SeverityMapping     []SeverityMapping  `json:"severity_mapping"`
	TimestampOverride   string             `json:"timestamp_override,omitempty"`
	RuleNameOverride    string             `json:"rule_name_override,omitempty"`
	AlertSuppression    *Suppression       `json:"alert_suppression,omitempty"`
	InvestigationFields *FieldNames        `json:"investigation_fields,omitempty"`
	TimelineID          string             `json:"timeline_id,omitempty"`
	TimelineTitle       string             `json:"timeline_title,omitempty"`
	Note                string             `json:"note"`
	Setup               string             `json:"setup"`
	FalsePositives      []string           `json:"false_positives"`
	References          []string           `json:"references"`
	Tags                []string           `json:"tags"`
	Threat              []Threat           `json:"threat"`
	RequiredFields      []RequiredField    `json:"required_fields"`
	RelatedIntegrations []Integration      `json:"related_integrations"`
	ExceptionsList      []struct{}         `json:"exceptions_list"`
	Author              []string           `json:"author"`
	License             string             `json:"license"`
}

// Threshold asks for so many documents with the same values of the fields.
type Threshold struct {
	Field []string `json:"field"`
	Value int      `json:"value"`
}

// RiskScoreMapping takes the alert's risk score from a field.
type RiskScoreMapping struct {
	Field    string `json:"field"`
	Operator string `json:"operator"` // equals
	Value    string `json:"value"`    // empty: the field's own
}

// SeverityMapping gives an alert a severity where a field has a value.
type SeverityMapping struct {
	Field    string `json:"field"`
	Operator string `json:"operator"` // equals
	Severity string `json:"severity"`
	Value    string `json:"value"`
}

// Suppression makes one alert of those that have the same values of the fields (of threshold rules: of its fields)
// within a time.
type Suppression struct {
	GroupBy  []string  `json:"group_by,omitempty"`
	Duration *Duration `json:"duration"`
	Missing  string    `json:"missing_fields_strategy,omitempty"` // suppress or doNotSuppress
}

// Duration is a length of time.
type Duration struct {
	Value int    `json:"value"`
	Unit  string `json:"unit"` // s, m or h
}

// FieldNames are the fields that an analyst is shown first.
type FieldNames struct {
	Names []string `json:"field_names"`
}

// Threat is a tactic and its techniques.
type Threat struct {
	Framework string   `json:"framework"`
	Tactic    Attack   `json:"tactic"`
	Technique []Attack `json:"technique"`
}

// Attack is a tactic or a technique of MITRE ATT&CK.
type Attack struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Reference    string   `json:"reference"`
	Subtechnique []Attack `json:"subtechnique,omitempty"`
}

// Integration is a package that fills what a rule reads.
type Integration struct {
	Package string `json:"package"`
	Version string `json:"version"` // a range, as semver has them
}

// RequiredField is a field that a rule needs.
type RequiredField struct {
	Name string `json:"name"`
	Type string `json:"type"`
}
