// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "embed"

	"github.com/reconbeat/reconbeat/tools/kibana/saved"
)

// rules are the detection rules. A change of one needs a higher version, or Kibana does not take it for new: lint holds
// them against rules.sum.
var rules = []saved.Rule{promotion, silent, degraded}

// integrations is the package that brings the data streams. `reconbeat setup` makes the same ones without it.
var integrations = []saved.Integration{{Package: "reconbeat", Version: ">=0.1.0"}}

const author, license = "reconbeat", "Apache-2.0"

// severityOf are the values of event.severity that Elastic's rules use.
var severityOf = []saved.SeverityMapping{
	{Field: "event.severity", Operator: "equals", Severity: "low", Value: "21"},
	{Field: "event.severity", Operator: "equals", Severity: "medium", Value: "47"},
	{Field: "event.severity", Operator: "equals", Severity: "high", Value: "73"},
	{Field: "event.severity", Operator: "equals", Severity: "critical", Value: "99"},
}

// promoted are the alerts that become one of Elastic Security's: a story once, and of its parts those that shipped
// before it. A part that is more severe than the story speaks for itself.
const promoted = "event.kind:alert and not reconbeat.alert.test:true and " +
	"not (reconbeat.correlation.member:true and event.severity <= 73)"

var discovery = []saved.Threat{
	{
		Framework: "MITRE ATT&CK",
		Tactic:    saved.Attack{ID: "TA0007", Name: "Discovery", Reference: "https://attack.mitre.org/tactics/TA0007/"},
		Technique: []saved.Attack{
			{
				ID:        "T1049",
				Name:      "System Network Connections Discovery",
				Reference: "https://attack.mitre.org/techniques/T1049/",
			},
		},
	},
}

// What a rule says to whoever gets its alert, and to whoever sets it up: Markdown, a paragraph on a line.
var (
	//go:embed guides/promotion-guide.md
	promotionGuide string
	// The steps are those of an alert's own guide, with fields in place of values: internal/guide's test writes them.
	//go:embed guides/steps.md
	steps string
	//go:embed guides/promotion-setup.md
	promotionSetup string
	//go:embed guides/silent-guide.md
	silentGuide string
	//go:embed guides/silent-setup.md
	silentSetup string
	//go:embed guides/degraded-guide.md
	degradedGuide string
	//go:embed guides/degraded-setup.md
	degradedSetup string
)

// promotion makes of every alert of reconbeat's an alert of Elastic Security's.
var promotion = saved.Rule{
	RuleID:  "b0a2c1de-6d0c-4c52-9b2e-7a5f1c5b3d10",
	Version: 11,
	Name:    "Reconbeat alert",
	Description: "Makes an alert of Elastic Security of every alert that reconbeat raises: somebody who does not " +
		"usually look at a Linux host's network connections did so. " +
		"Name, severity and risk score are those of reconbeat's rule.",
	Type:              "query",
	Language:          "kuery",
	Index:             []string{alertView.streams()},
	Query:             promoted + " and event.module:reconbeat",
	Enabled:           true,
	Interval:          "1m",
	From:              "now-5m",
	To:                "now",
	MaxSignals:        1000,
	RiskScore:         21,
	RiskScoreMapping:  []saved.RiskScoreMapping{{Field: "event.risk_score", Operator: "equals"}},
	Severity:          "low",
	SeverityMapping:   severityOf,
	TimestampOverride: "event.ingested",
	RuleNameOverride:  "message",
	AlertSuppression: &saved.Suppression{
		GroupBy:  []string{"rule.id", "reconbeat.actor.name", "process.parent.executable"},
		Duration: &saved.Duration{Value: 1, Unit: "h"},
		Missing:  "doNotSuppress",
	},
	InvestigationFields: &saved.FieldNames{
		Names: []string{"event.reason", "host.name", "reconbeat.actor.name", "user.name", "process.command_line",
			"process.parent.command_line", "process.working_directory", "process.entry_leader.entry_meta.type",
			"source.ip", "container.image.name", "reconbeat.activity.before.command_line",
			"reconbeat.ancestry.command_line", "reconbeat.account.groups", "reconbeat.account.changes.action",
			"reconbeat.anomaly.score", "reconbeat.anomaly.typical_users",
			"reconbeat.actor.usual.commands", "reconbeat.actor.usual.parents", "reconbeat.actor.usual.networks",
			"reconbeat.actor.last_seen"},
	},
	TimelineID:    "e70679c2-6cde-4510-9764-4823df18f7db",
	TimelineTitle: "Comprehensive Process Timeline",
	Note:          promotionGuide + "\n" + steps,
	Setup:         promotionSetup,
	FalsePositives: []string{"Somebody troubleshoots a host that they do not usually work on.",
		"A new job or agent looks at network connections for the first time."},
	References: []string{"https://attack.mitre.org/techniques/T1049/"},
	Tags: []string{"Domain: Endpoint", "OS: Linux", "Use Case: Threat Detection", "Tactic: Discovery",
		"Data Source: reconbeat", "Resources: Investigation Guide"},
	Threat: discovery,
	RequiredFields: []saved.RequiredField{
		{Name: "event.kind", Type: "keyword"},
		{Name: "event.module", Type: "keyword"},
		{Name: "event.risk_score", Type: "float"},
		{Name: "event.severity", Type: "long"},
		{Name: "reconbeat.alert.test", Type: "boolean"},
		{Name: "reconbeat.correlation.member", Type: "boolean"},
	},
	RelatedIntegrations: integrations,
	ExceptionsList:      []struct{}{},
	Author:              []string{author},
	License:             license,
}

// silent alerts on a host whose heartbeats ended. Every 10 minutes it asks what was missing for 10 to 25 minutes:
// each silence is in at least one search, even when one comes five minutes late, and in two at most, of which
// suppression makes one.
var silent = saved.Rule{
	RuleID:  "4f1c2b7a-98d3-4e0a-8a55-2f6b0d9e7c21",
	Version: 2,
	Name:    "Reconbeat sensor silent",
	Description: "A host on which reconbeat ran has sent no heartbeat for ten minutes: it is down, cut off, or " +
		"somebody ended the sensor.",
	Type:     "esql",
	Language: "esql",
	Query: `FROM ` + healthView.streams() + `
| WHERE event.dataset == "` + healthView.dataset + `"
| EVAL heard = COALESCE(event.ingested, @timestamp)
| STATS heard = MAX(heard) BY host.name
| WHERE heard < NOW() - 10 minutes AND heard >= NOW() - 25 minutes
| EVAL message = CONCAT("reconbeat on ", host.name, " has been silent since ", TO_STRING(heard))
| KEEP host.name, heard, message`,
	Enabled:           true,
	Interval:          "10m",
	From:              "now-45m",
	To:                "now",
	MaxSignals:        1000,
	RiskScore:         47,
	RiskScoreMapping:  []saved.RiskScoreMapping{},
	Severity:          "medium",
	SeverityMapping:   []saved.SeverityMapping{},
	TimestampOverride: "event.ingested",
	AlertSuppression: &saved.Suppression{
		GroupBy:  []string{"host.name"},
		Duration: &saved.Duration{Value: 1, Unit: "h"},
		Missing:  "doNotSuppress",
	},
	InvestigationFields: &saved.FieldNames{Names: []string{"host.name"}},
	Note:                silentGuide,
	Setup:               silentSetup,
	FalsePositives: []string{"A host was shut down or taken out of service.",
		"The output was not reachable for ten minutes."},
	References: []string{"https://attack.mitre.org/techniques/T1562/001/"},
	Tags: []string{"Domain: Endpoint", "OS: Linux", "Use Case: Threat Detection", "Tactic: Defense Evasion",
		"Data Source: reconbeat", "Resources: Investigation Guide"},
	Threat: []saved.Threat{
		{
			Framework: "MITRE ATT&CK",
			Tactic: saved.Attack{
				ID:        "TA0005",
				Name:      "Defense Evasion",
				Reference: "https://attack.mitre.org/tactics/TA0005/",
			},
			Technique: []saved.Attack{
				{
					ID:        "T1562",
					Name:      "Impair Defenses",
					Reference: "https://attack.mitre.org/techniques/T1562/",
					Subtechnique: []saved.Attack{
						{
							ID:        "T1562.001",
							Name:      "Disable or Modify Tools",
							Reference: "https://attack.mitre.org/techniques/T1562/001/",
						},
					},
				},
			},
		},
	},
	RequiredFields: []saved.RequiredField{
		{Name: "@timestamp", Type: "date"},
		{Name: "event.dataset", Type: "keyword"},
		{Name: "event.ingested", Type: "date"},
		{Name: "host.name", Type: "keyword"},
	},
	RelatedIntegrations: integrations,
	ExceptionsList:      []struct{}{},
	Author:              []string{author},
	License:             license,
}

// degraded alerts on a sensor that stays degraded: five heartbeats in a quarter of an hour.
var degraded = saved.Rule{
	RuleID:  "9d6e0a34-1b7f-4c8e-b3a9-5e8c7d2f4a32",
	Version: 2,
	Name:    "Reconbeat sensor degraded",
	Description: "A sensor has been degraded or failed for five minutes of the last fifteen: it may miss what " +
		"happens on its host.",
	Type:              "threshold",
	Language:          "kuery",
	Index:             []string{healthView.streams()},
	Query:             unwell,
	Threshold:         &saved.Threshold{Field: []string{"host.name"}, Value: 5},
	Enabled:           true,
	Interval:          "5m",
	From:              "now-15m",
	To:                "now",
	MaxSignals:        1000,
	RiskScore:         21,
	RiskScoreMapping:  []saved.RiskScoreMapping{},
	Severity:          "low",
	SeverityMapping:   []saved.SeverityMapping{},
	TimestampOverride: "event.ingested",
	AlertSuppression:  &saved.Suppression{Duration: &saved.Duration{Value: 12, Unit: "h"}},
	InvestigationFields: &saved.FieldNames{
		Names: []string{"host.name", "reconbeat.health.status", "reconbeat.health.conditions"},
	},
	Note:           degradedGuide,
	Setup:          degradedSetup,
	FalsePositives: []string{"A sensor that is being set up."},
	References:     []string{},
	Tags:           []string{"Domain: Endpoint", "OS: Linux", "Data Source: reconbeat", "Resources: Investigation Guide"},
	Threat:         []saved.Threat{},
	RequiredFields: []saved.RequiredField{
		{Name: "event.dataset", Type: "keyword"},
		{Name: "event.ingested", Type: "date"},
		{Name: "host.name", Type: "keyword"},
		{Name: "reconbeat.health.status", Type: "keyword"},
	},
	RelatedIntegrations: integrations,
	ExceptionsList:      []struct{}{},
	Author:              []string{author},
	License:             license,
}
