// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/reconbeat/reconbeat/tools/kibana/saved"

// dataView is a data view that we ship, of one data set in every namespace.
type dataView struct{ id, dataset, name string }

var (
	alertView   = dataView{"reconbeat-alert", "reconbeat.alert", "Reconbeat alerts"}
	processView = dataView{"reconbeat-process", "reconbeat.process", "Reconbeat processes"}
	healthView  = dataView{"reconbeat-health", "reconbeat.health", "Reconbeat health"}
)

// streams are the names of the data streams that the view is of.
func (v dataView) streams() string { return "logs-" + v.dataset + "-*" }

func (v dataView) object() saved.Object {
	return object("index-pattern", v.id, saved.DataView{Title: v.streams(), Name: v.name, TimeFieldName: "@timestamp",
		FieldAttrs: "{}", FieldFormatMap: "{}", Fields: "[]", RuntimeFieldMap: "{}", SourceFilters: "[]"})
}

var tag = object("tag", "reconbeat-tag",
	saved.Tag{Name: "reconbeat", Description: "What reconbeat brings", Color: "#6092C0"})

// The queries that panels start from. A test alert is of nobody, and a summary is not an alert.
const (
	alertsOnly = "event.kind:alert and not reconbeat.alert.test:true and not event.action:correlation"
	matches    = "event.kind:event and reconbeat.rules:*"
	heartbeats = "event.dataset:reconbeat.health"
	unwell     = heartbeats + " and reconbeat.health.status:(degraded or failed)"
	// judged are the matches whose score means something: while a host is learned, everything is new.
	judged = matches + " and not reconbeat.anomaly.learning:true"
	// heldBack are the alerts that a control held back, one for each that there would have been.
	heldBack = matches + " and reconbeat.control.held:alert"
)

// threshold is the score from which on rules alert, where nothing else is configured.
const threshold = 25

// savedQueries are what an analyst picks from the list beside the search bar.
var savedQueries = []struct{ id, title, description, query string }{
	{
		id: "reconbeat-alerts", title: "Reconbeat: alerts", description: "Alerts, without summaries and test alerts.",
		query: alertsOnly,
	},
	{
		id: "reconbeat-very-unusual", title: "Reconbeat: very unusual alerts",
		description: "Alerts that a host is expected to raise by chance less than once in three years.",
		query:       alertsOnly + " and reconbeat.anomaly.score >= 75",
	},
	{
		id: "reconbeat-first-time", title: "Reconbeat: actors without a match before",
		description: "Alerts on actors of whom nothing was known.",
		query:       alertsOnly + " and reconbeat.anomaly.first_occurrence:true",
	},
	{
		id: "reconbeat-services", title: "Reconbeat: service accounts",
		description: "Alerts on accounts that nobody logs in with: a web server or a database.",
		query:       alertsOnly + " and reconbeat.actor.kind:service",
	},
	{
		id: "reconbeat-remote", title: "Reconbeat: from elsewhere",
		description: "Matches and alerts of sessions that came over the network.",
		query:       "reconbeat.rules:* and source.ip:*",
	},
	{
		id: "reconbeat-containers", title: "Reconbeat: in containers",
		description: "Matches and alerts inside containers.", query: "reconbeat.rules:* and container.id:*",
	},
	{
		id:    "reconbeat-disguised",
		title: "Reconbeat: under another name",
		description: "Matches and alerts of a program that hides which one it is: under another name, as a copy, or " +
			"through a loader.",
		query: "reconbeat.process.disguise:*",
	},
	{
		id: "reconbeat-held-back", title: "Reconbeat: held back",
		description: "Alerts that exceptions, windows, onboarding, approvals or known software held back.", query: heldBack,
	},
	{
		id: "reconbeat-sensors-unwell", title: "Reconbeat: sensors that are not well",
		description: "Heartbeats of degraded and failed sensors.", query: unwell,
	},
}

// bands are how often a score is expected by chance; docs/model.md has the table. Their borders are those of episodes,
// and the threshold.
var bands = parts("band", "Score",
	part{"below 25", "reconbeat.anomaly.score < 25"},
	part{"25 to 50", "reconbeat.anomaly.score >= 25 and reconbeat.anomaly.score < 50"},
	part{"50 to 75", "reconbeat.anomaly.score >= 50 and reconbeat.anomaly.score < 75"},
	part{"75 to 90", "reconbeat.anomaly.score >= 75 and reconbeat.anomaly.score < 90"},
	part{"90 and more", "reconbeat.anomaly.score >= 90"})

// scores are the bands' colours in a heat map. As parts of the highest score, which Kibana would take, the most unusual
// hour of a calm week would have the colour of an attack.
var scores = []shade{{0, "#BFDBFF"}, {threshold, "#FBE9C0"}, {50, "#FFC9C2"}, {75, "#F6726A"}, {90, "#C61E25"}}

// severities are what event.severity means to Elastic Security.
var severities = parts("severity", "Severity",
	part{"low", "event.severity:21"},
	part{"medium", "event.severity:47"},
	part{"high", "event.severity:73"},
	part{"critical", "event.severity:99"})

// mostUnusual is the highest score.
func mostUnusual() column {
	return most("score", "Highest score", "reconbeat.anomaly.score").decimals(0, "")
}

// Tables begin with the most unusual. An intruder has one match, an agent a thousand: by how often, the one who
// matters comes last.
const byScore = "score"

// dashboards are all that we ship.
var dashboards = []dashboard{overview, investigation, sensorHealth}

const prefix = "[Logs Reconbeat] "

const (
	overviewID      = "reconbeat-overview"
	investigationID = "reconbeat-investigation"
	healthID        = "reconbeat-sensor-health"
)

// linksFrom are the links of a dashboard to the others.
func linksFrom(id string) links {
	l := links{frame: frame{id: "links", width: 48}}
	for _, to := range []link{{dashboard: overviewID, label: "Overview"}, {
		dashboard: investigationID, label: "Investigate an actor or a host",
	}, {
		dashboard: healthID, label: "Health of the sensors",
	}} {
		if to.dashboard != id {
			l.to = append(l.to, to)
		}
	}
	return l
}

var overview = dashboard{
	id:    overviewID,
	title: prefix + "Overview",
	description: "Unusual discovery of network connections: alerts over time, their actors, hosts and " +
		"commands.",
	datasets: []string{alertView.dataset, processView.dataset},
	controls: []control{
		{"host", "Host", "host.name", alertView},
		{"actor", "Actor", "reconbeat.actor.name", alertView},
		{"rule", "Rule", "reconbeat.rules", alertView}, // which raw events have as well
	},
	rows: []row{
		{
			height: 6,
			panels: []panel{
				metric{
					chart{
						frame:   frame{"alerts", "Alerts", "Alerts and escalations.", 16},
						view:    alertView,
						query:   alertsOnly,
						columns: []column{count("count", "Alerts")},
					},
					"",
				},
				metric{
					chart{
						frame:   frame{"hosts", "Hosts with alerts", "Hosts that raised an alert.", 16},
						view:    alertView,
						query:   alertsOnly,
						columns: []column{unique("count", "Hosts", "host.name")},
					},
					"",
				},
				metric{
					chart{
						frame:   frame{"actors", "Actors", "Different actors with an alert.", 16},
						view:    alertView,
						query:   alertsOnly,
						columns: []column{unique("count", "Actors", "reconbeat.actor.name")},
					},
					"",
				},
			},
		},
		{
			height: 12,
			panels: []panel{
				bars{
					chart: chart{
						frame: frame{"scores", "Alerts over time by score",
							"Alerts by how unusual they are: 25 is expected three times a year on a host, 50 once, " +
								"75 every third year, 90 every tenth.",
							24},
						view:    alertView,
						query:   alertsOnly,
						columns: []column{overTime(), bands, count("count", "Alerts")},
					},
					series: "bar_stacked",
				},
				bars{
					chart: chart{
						frame: frame{"over-time", "Alerts over time by severity",
							"Alerts by their severity.", 24},
						view:    alertView,
						query:   alertsOnly,
						columns: []column{overTime(), severities, count("count", "Alerts")},
					},
					series: "bar_stacked",
				},
			},
		},
		{
			height: 13,
			panels: []panel{
				table{
					chart{
						frame: frame{"top-actors", "Who", "Actors with an alert, the most unusual first.", 16},
						view:  alertView,
						query: alertsOnly,
						columns: []column{by("actor", "Actor", "reconbeat.actor.name", 50, byScore), mostUnusual(),
							count("alerts", "Alerts"), most("seen", "Last seen", "@timestamp")},
					},
					byScore,
					false,
					10,
				},
				table{
					chart{
						frame: frame{"top-hosts", "Where", "Hosts with an alert, the most unusual first.", 16},
						view:  alertView,
						query: alertsOnly,
						columns: []column{by("host", "Host", "host.name", 50, byScore), mostUnusual(),
							count("alerts", "Alerts"), unique("actors", "Actors", "reconbeat.actor.name"),
							most("seen", "Last seen", "@timestamp")},
					},
					byScore,
					false,
					10,
				},
				table{
					chart{
						frame: frame{"top-commands", "What they ran",
							"Command lines of alerts, the most unusual first.", 16},
						view:  alertView,
						query: alertsOnly,
						columns: []column{by("command", "Command", "process.command_line", 50, byScore), mostUnusual(),
							count("alerts", "Alerts"), unique("actors", "Actors", "reconbeat.actor.name"),
							most("seen", "Last seen", "@timestamp")},
					},
					byScore,
					false,
					10,
				},
			},
		},
		{
			height: 16,
			panels: []panel{
				list{
					frame{"list", "Alerts, newest first", "Every alert.", 48},
					alertView,
					alertsOnly,
					"@timestamp",
					[]string{"host.name", "reconbeat.actor.name", "reconbeat.anomaly.score",
						"process.command_line", "event.reason", "process.parent.command_line", "source.ip"},
				},
			},
		},
		{
			height: 12,
			panels: []panel{
				table{
					chart{
						frame: frame{"held-back", "Held back",
							"Alerts that exceptions, windows, onboarding, approvals or known software held back, by control.", 24},
						view:  processView,
						query: heldBack,
						columns: []column{by("control", "Control", "reconbeat.control.id", 50, "held"),
							count("held", "Alerts"), mostUnusual(), unique("hosts", "Hosts", "host.name"),
							unique("actors", "Actors", "reconbeat.actor.name"), most("seen", "Last", "@timestamp")},
					},
					"held",
					false,
					10,
				},
				bars{
					chart: chart{
						frame: frame{"held-back-over-time", "Held back over time",
							"Alerts that controls held back, by control.", 24},
						view:  processView,
						query: heldBack,
						columns: []column{overTime(), by("control", "Control", "reconbeat.control.id", 10, "held"),
							count("held", "Alerts")},
					},
					series: "bar_stacked",
				},
			},
		},
	},
}

// partsOf are the parts of a score, in the order in which they are drawn: who, how, from where, what, when.
var partsOf = []struct{ id, label string }{
	{"actor", "New actor"}, {"frequency", "How seldom"},
	{"parent", "Parent"}, {"tty", "Terminal"}, {"as", "Acting as"},
	{"entry", "Way in"}, {"network", "Network"}, {"network_wide", "Network, wider"}, {"origin", "Origin"},
	{"command", "Command"}, {"system_login", "System account"}, {"disguise", "Disguise"}, {"folder", "Folder"},
	{"session", "Other programs"},
	{"hour", "Hour"}, {"week", "Weekday"},
}

// mostUnusualVisit parts each step of time by the visit with the highest score, and shows the parts of that one alone:
// added up, an agent's thousand matches, each a little more usual than an intruder's, bury the intruder.
func mostUnusualVisit() []column {
	columns := []column{overTime(), first("visit", "Most unusual visit", "reconbeat.visit.id", mostUnusual())}
	for _, p := range partsOf {
		columns = append(columns, most(p.id, p.label, "reconbeat.anomaly.parts."+p.id))
	}
	return columns
}

var investigation = dashboard{
	id:    investigationID,
	title: prefix + "Investigation",
	description: "What an actor or a host usually does: when, from where, in which context. Choose one above; an " +
		"alert is read against this.",
	datasets: []string{alertView.dataset, processView.dataset},
	controls: []control{
		{"host", "Host", "host.name", processView},
		{"actor", "Actor", "reconbeat.actor.name", processView},
		{"program", "Program", "reconbeat.program", processView},
		{"alert", "Alert", "reconbeat.alert.id", alertView}, // which its matches and its follow-up have as well
	},
	rows: []row{
		{
			height: 6,
			panels: []panel{
				metric{
					chart{
						frame: frame{"highest", "Highest score", "The most unusual match since the host was learned.",
							12},
						view:    processView,
						query:   judged,
						columns: []column{mostUnusual()},
					},
					"",
				},
				metric{
					chart{
						frame:   frame{"alerts", "Alerts", "Alerts and escalations.", 12},
						view:    alertView,
						query:   alertsOnly,
						columns: []column{count("count", "Alerts")},
					},
					"",
				},
				metric{
					chart{
						frame:   frame{"execs", "Matches", "Program starts that a rule names.", 12},
						view:    processView,
						query:   matches,
						columns: []column{count("count", "Matches")},
					},
					"",
				},
				metric{
					chart{
						frame:   frame{"commands-known", "Different commands", "Different command lines.", 12},
						view:    processView,
						query:   matches,
						columns: []column{unique("count", "Commands", "process.command_line")},
					},
					"",
				},
			},
		},
		{
			height: 12,
			panels: []panel{
				bars{chart: chart{
					frame: frame{"score-over-time", "How unusual, over time",
						"The most unusual match of each step of time. From the line on, rules alert.", 48},
					view:    processView,
					query:   judged,
					columns: []column{overTime(), mostUnusual()},
				}, series: "bar_stacked", line: &line{"alerts", threshold}},
			},
		},
		{
			height: 22,
			panels: []panel{
				bars{chart: chart{
					frame: frame{"score-parts", "What made it unusual, over time",
						"Of the most unusual visit of each step of time, where its score is not 0: what each feature " +
							"of the context added to the surprise, in nats. Of the context model.",
						48},
					view:    processView,
					query:   judged + " and reconbeat.anomaly.score > 0",
					columns: mostUnusualVisit(),
				}, series: "bar_stacked"},
			},
		},
		{
			height: 14,
			panels: []panel{
				list{
					frame{"most-unusual", "The most unusual matches first",
						"Matches by their score, since the host was learned.", 48},
					processView,
					judged,
					"reconbeat.anomaly.score",
					[]string{"reconbeat.anomaly.score", "host.name", "reconbeat.actor.name", "user.name",
						"process.command_line", "process.parent.name", "process.entry_leader.entry_meta.type",
						"source.ip", "reconbeat.process.disguise"},
				},
			},
		},
		{
			height: 14,
			panels: []panel{
				list{
					frame{"session", "What else ran: before and after the alert",
						"Alerts and their follow-ups: the programs through which the tool was started, what else ran in the " +
							"session, and what was changed about the account. Choose an alert above.", 48},
					alertView,
					"(" + alertsOnly + ") or event.action:alert-follow-up",
					"@timestamp",
					[]string{"event.action", "host.name", "reconbeat.actor.name", "process.command_line",
						"reconbeat.ancestry.command_line", "reconbeat.activity.before.command_line",
						"reconbeat.activity.after.command_line", "reconbeat.activity.before.technique.id",
						"reconbeat.activity.after.technique.id", "reconbeat.account.groups",
						"reconbeat.account.changes.action", "reconbeat.account.changes.user.name",
						"reconbeat.account.refused_logins.count", "reconbeat.executable.state"},
				},
			},
		},
		{
			height: 13,
			panels: []panel{
				heatmap{
					chart: chart{
						frame: frame{"week", "When in the week matches come",
							"How many matches, by weekday and hour, on the clock of the host.", 24},
						view:  processView,
						query: matches,
						columns: []column{inOrder("hour", "Hour", "reconbeat.local.hour", 24),
							inOrder("weekday", "Weekday", "reconbeat.local.weekday", 7), count("count", "Matches")},
					},
				},
				heatmap{
					chart: chart{
						frame: frame{"week-unusual", "When in the week it was unusual",
							"The highest score, by weekday and hour, on the clock of the host. " +
								"The colours begin at 25, 50, 75 and 90.", 24},
						view:  processView,
						query: judged,
						columns: []column{inOrder("hour", "Hour", "reconbeat.local.hour", 24),
							inOrder("weekday", "Weekday", "reconbeat.local.weekday", 7), mostUnusual()},
					},
					scale: scores,
				},
			},
		},
		{
			height: 13,
			panels: []panel{
				table{
					chart{
						frame: frame{"commands", "Commands", "Command lines, the most unusual first.", 24},
						view:  processView,
						query: judged,
						columns: []column{by("command", "Command", "process.command_line", 50, byScore), mostUnusual(),
							count("matches", "Matches"), unique("actors", "Actors", "reconbeat.actor.name"),
							least("first", "First seen", "@timestamp"), most("seen", "Last seen", "@timestamp")},
					},
					byScore,
					false,
					10,
				},
				table{
					chart{
						frame: frame{"parents", "Parents", "Programs that started the tools, the most unusual first.",
							24},
						view:  processView,
						query: judged,
						columns: []column{by("parent", "Parent", "process.parent.name", 20, byScore).orNone(),
							by("parent-path", "Executable", "process.parent.executable", 3, byScore).orNone(),
							mostUnusual(), count("matches", "Matches"), least("first", "First seen", "@timestamp"),
							most("seen", "Last seen", "@timestamp")},
					},
					byScore,
					false,
					10,
				},
			},
		},
		{
			height: 13,
			panels: []panel{
				table{
					chart{
						frame: frame{"contexts", "Contexts",
							"The ways in and the users acted as, the most unusual first.", 24},
						view:  processView,
						query: judged,
						columns: []column{
							by("entry", "Way in", "process.entry_leader.entry_meta.type", 10, byScore).orNone(),
							by("as", "Acting as", "user.name", 10, byScore).orNone(), mostUnusual(),
							count("matches", "Matches"), least("first", "First seen", "@timestamp"),
							most("seen", "Last seen", "@timestamp")},
					},
					byScore,
					false,
					10,
				},
				table{
					chart{
						frame: frame{"addresses", "Addresses",
							"Where the login sessions came from, the most unusual first.", 24},
						view:  processView,
						query: judged,
						columns: []column{by("address", "Address", "source.ip", 50, byScore), mostUnusual(),
							count("matches", "Matches"), unique("actors", "Actors", "reconbeat.actor.name"),
							least("first", "First seen", "@timestamp"), most("seen", "Last seen", "@timestamp")},
					},
					byScore,
					false,
					10,
				},
			},
		},
		{
			height: 18,
			panels: []panel{
				list{
					frame{"list", "All matches, newest first",
						"Every match; those of an alert carry its id.", 48},
					processView,
					matches,
					"@timestamp",
					[]string{"host.name", "reconbeat.actor.name", "user.name", "process.command_line",
						"process.parent.command_line", "process.working_directory",
						"process.entry_leader.entry_meta.type", "source.ip", "reconbeat.anomaly.score",
						"reconbeat.alert.id"},
				},
			},
		},
	},
}

// eachHost begins an ES|QL query on the heartbeats of every host.
const eachHost = "FROM logs-reconbeat.health-*\n| WHERE event.dataset == \"reconbeat.health\"\n"

var sensorHealth = dashboard{
	id:    healthID,
	title: prefix + "Sensor health",
	description: "Whether every sensor is there and sees everything: what it lost, how far it lags behind, and hosts " +
		"that have gone silent.",
	from:     "now-24h",
	datasets: []string{healthView.dataset},
	controls: []control{
		{"host", "Host", "host.name", healthView},
		{"status", "Status", "reconbeat.health.status", healthView},
		{"version", "Version", "agent.version", healthView},
	},
	rows: []row{
		{
			6,
			[]panel{
				// Counted one by one: a number of different values is an estimate, and of 10,000 hosts one that is a
				// hundred off.
				computed{
					frame: frame{"reporting", "Hosts", "Hosts that sent a heartbeat.", 10},
					view:  healthView,
					esql:  eachHost + "| STATS seen = MAX(@timestamp) BY host.name\n| STATS hosts = COUNT(*)",
					columns: []result{{
						name: "hosts", label: "Hosts", esType: "long",
					}},
				},
				computed{
					frame: frame{"silent-hosts", "Hosts silent for 5 minutes",
						"Hosts whose last heartbeat is older than five minutes.", 10},
					view: healthView,
					esql: eachHost + "| STATS seen = MAX(@timestamp) BY host.name\n| WHERE seen < NOW() - 5 " +
						"minutes\n| STATS hosts = COUNT(*)",
					columns: []result{{
						name: "hosts", label: "Hosts", esType: "long",
					}},
				},
				metric{
					chart{
						frame: frame{"unwell", "Hosts not well", "Hosts that were degraded or failed.", 10},
						view:  healthView,
						query: heartbeats,
						columns: []column{
							unique("count", "Hosts", "host.name").where("reconbeat.health.status:(degraded or failed)"),
						},
					},
					"",
				},
				metric{
					chart{
						frame:   frame{"lost", "Lost", "Events that are known to be missing.", 9},
						view:    healthView,
						query:   heartbeats,
						columns: []column{sum("count", "Lost", "reconbeat.health.lost")},
					},
					"",
				},
				metric{
					chart{
						frame:   frame{"malformed", "Malformed", "Records that could not be understood.", 9},
						view:    healthView,
						query:   heartbeats,
						columns: []column{sum("count", "Malformed", "reconbeat.health.malformed")},
					},
					"",
				},
			},
		},
		{
			13,
			[]panel{
				computed{
					frame: frame{"silent", "Hosts, the longest silent first",
						"When each host was last heard of. A host is silent after five minutes; it leaves the table " +
							"with the range of time.",
						16},
					view: healthView,
					esql: eachHost + "| STATS seen = MAX(@timestamp) BY host.name\n| SORT seen ASC\n| LIMIT 1000",
					columns: []result{{name: "host.name", label: "Host", esType: "keyword"}, {
						name: "seen", label: "Last heartbeat", esType: "date",
					}},
					sort:   "seen",
					upward: true,
					rows:   10,
				},
				table{
					chart{
						frame: frame{"conditions", "What is wrong",
							"Health conditions; docs/monitor.md says what to do about each.", 16},
						view:  healthView,
						query: heartbeats,
						columns: []column{by("condition", "Condition", "reconbeat.health.conditions", 50, "hosts"),
							unique("hosts", "Hosts", "host.name"), most("seen", "Last seen", "@timestamp")},
					},
					"hosts",
					false,
					10,
				},
				computed{
					frame: frame{"losses-by-host", "Hosts that lose most", "What is known to be missing, by host.", 16},
					view:  healthView,
					esql: eachHost + "| STATS lost = SUM(reconbeat.health.lost), malformed = " +
						"SUM(reconbeat.health.malformed), lag = MAX(reconbeat.health.lag.ms) BY host.name\n" +
						"| WHERE lost > 0\n| SORT lost DESC\n| LIMIT 50",
					columns: []result{
						{name: "host.name", label: "Host", esType: "keyword"},
						{name: "lost", label: "Lost", esType: "long"},
						{
							name: "malformed", label: "Malformed", esType: "long",
						},
						{
							name: "lag", label: "Longest lag, ms", esType: "long",
						},
					},
					sort: "lost",
					rows: 10,
				},
			},
		},
		{
			height: 12,
			panels: []panel{
				bars{
					chart: chart{
						frame: frame{"losses-over-time", "Lost and malformed, over time",
							"What did not become an alert or an event.", 24},
						view:  healthView,
						query: heartbeats,
						columns: []column{overTime(), sum("lost", "Lost", "reconbeat.health.lost"),
							sum("malformed", "Malformed", "reconbeat.health.malformed")},
					},
					series: "bar_stacked",
				},
				bars{
					chart: chart{
						frame: frame{"lag-over-time", "Lag over time",
							"The longest time from a program's start until it was judged, in each minute of each host.",
							24},
						view:  healthView,
						query: heartbeats,
						columns: []column{
							overTime(),
							percentile("most-hosts", "95th percentile", "reconbeat.health.lag.ms",
								95).decimals(0, " ms"),
							most("worst", "Worst", "reconbeat.health.lag.ms").decimals(0, " ms"),
						},
					},
					series: "line",
				},
			},
		},
		{
			height: 13,
			panels: []panel{
				table{
					chart{
						frame: frame{"versions", "Versions", "How many hosts run which version.", 12},
						view:  healthView,
						query: heartbeats,
						columns: []column{by("version", "Version", "agent.version", 20, "hosts"),
							unique("hosts", "Hosts", "host.name"), most("seen", "Last seen", "@timestamp")},
					},
					"hosts",
					false,
					10,
				},
				table{
					chart{
						frame: frame{"modules", "Modules", "How many hosts see program starts by which module.", 12},
						view:  healthView,
						query: heartbeats,
						columns: []column{by("module", "Module", "reconbeat.health.modules", 20, "hosts"),
							unique("hosts", "Hosts", "host.name"), most("seen", "Last seen", "@timestamp")},
					},
					"hosts",
					false,
					10,
				},
				bars{
					chart: chart{
						frame: frame{"execs-over-time", "Program starts over time",
							"Program starts seen, and those that a rule names.", 24},
						view:  healthView,
						query: heartbeats,
						columns: []column{overTime(), sum("execs", "Program starts", "reconbeat.health.execs"),
							sum("matched", "Matches", "reconbeat.health.matched")},
					},
					series: "line",
				},
			},
		},
		{
			height: 16,
			panels: []panel{
				table{
					chart{
						frame: frame{"sensors", "Sensors",
							"Each host's latest heartbeat: of the first 1,000 hosts by name, or of those that are " +
								"chosen above.",
							48},
						view:  healthView,
						query: heartbeats,
						columns: []column{inOrder("host", "Host", "host.name", 1000),
							latest("status", "Status", "reconbeat.health.status"),
							latestOf("wrong", "Conditions", "reconbeat.health.conditions"),
							latest("version", "Version", "agent.version"),
							latestOf("modules", "Modules", "reconbeat.health.modules"),
							latestOf("rules", "Rules", "reconbeat.health.rules"),
							latest("model", "Model's age", "reconbeat.health.model.age_days").decimals(0, " days"),
							latest("known", "Actors known", "reconbeat.health.model.actors"),
							latest("pending", "Journal", "reconbeat.health.journal.pending"),
							latest("uptime", "Uptime", "reconbeat.health.uptime").decimals(0, " s"),
							most("seen", "Last heartbeat", "@timestamp")},
					},
					"host",
					true,
					15,
				},
			},
		},
	},
}
