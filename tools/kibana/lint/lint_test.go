// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/tools/kibana/fields"
	"github.com/reconbeat/reconbeat/tools/kibana/saved"
)

// Where the committed files are, from here.
const (
	folder   = "../../../_meta/kibana"
	declared = "../../../fields.yml"
	sums     = "rules.sum"
)

func types(t *testing.T) fields.Types {
	text, err := os.ReadFile(declared)
	require.NoError(t, err)
	types, err := fields.Read(text)
	require.NoError(t, err)
	return types
}

// committed is a copy of the committed files, for a test to break.
func committed(t *testing.T) fstest.MapFS {
	copied := fstest.MapFS{}
	require.NoError(t, fs.WalkDir(os.DirFS(folder), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(os.DirFS(folder), name)
		copied[name] = &fstest.MapFile{Data: text}
		return err
	}))
	return copied
}

func TestTheCommittedFilesHaveNoFault(t *testing.T) {
	require.NoError(t, Check(committed(t), types(t), os.DirFS(".."), sums))
}

const (
	overview      = "7/dashboard/reconbeat-overview.json"
	investigation = "7/dashboard/reconbeat-investigation.json"
	sensorHealth  = "7/dashboard/reconbeat-sensor-health.json"
	linked        = "7/dashboard/reconbeat-overview.links.json"
	savedQuery    = "7/dashboard/reconbeat-alerts.json"
	view          = "7/index-pattern/reconbeat-alert.json"
)

// compact takes the blanks out of an object. The rules have none.
func compact(t *testing.T, name string, text []byte) string {
	if name == saved.RulesFile {
		return string(text)
	}
	var b bytes.Buffer
	require.NoError(t, json.Compact(&b, text))
	return b.String()
}

// shown is the query of the panels about alerts.
const shown = `"query":"event.kind:alert and not reconbeat.alert.test:true and not event.action:correlation"`

// TestFaults puts each kind of fault into the committed files, and wants it found.
func TestFaults(t *testing.T) {
	types := types(t)
	for _, c := range []struct {
		name     string
		file     string
		old, new string // the first old becomes new
		want     string
	}{
		{
			"an object without a version of its envelope", overview, `"coreMigrationVersion":"8.8.0"`,
			`"coreMigrationVersion":""`, "coreMigrationVersion is",
		},
		{
			"an object without a version of its type", overview, `"typeMigrationVersion":"10.2.0"`,
			`"typeMigrationVersion":""`, "typeMigrationVersion is",
		},
		{"an object of a type that we do not ship", savedQuery, `"type":"query"`, `"type":"search"`, "is not a type that we ship"},
		{"an object in the wrong folder", savedQuery, `"type":"query"`, `"type":"tag"`, "belongs into the folder tag"},
		{
			"an object with another id than its file's", overview, `"id":"reconbeat-overview"`, `"id":"reconbeat-other"`,
			"its id is",
		},
		{"a key that Kibana does not have", overview, `"timeRestore"`, `"timeRestored"`, "unknown field"},
		{"text behind an object", savedQuery, `]}`, `]}{}`, "something follows it"},
		{
			"a data view that we do not ship", sensorHealth, `"id":"reconbeat-health","name":"lost`,
			`"id":"logs-*","name":"lost`, "data view logs-*, which we do not ship",
		},
		{
			"a tag that we do not ship", overview, `"id":"reconbeat-tag"`, `"id":"reconbeat-label"`,
			"the tag reconbeat-label, which we do not ship",
		},
		{
			"a link to a dashboard that does not exist", linked, `"type":"dashboard","id":"reconbeat-investigation"`,
			`"type":"dashboard","id":"reconbeat-nowhere"`, "the dashboard reconbeat-nowhere, which we do not ship",
		},
		{
			"a link whose reference is missing", linked, `"destinationRefName":"link_reconbeat-investigation_dashboard"`,
			`"destinationRefName":"link_x"`, "leads nowhere",
		},
		{
			"a reference that nothing uses", linked, `"name":"links:link_reconbeat-investigation_dashboard"`,
			`"name":"links:other"`, "nothing uses the reference links:other",
		},
		{
			"references of the same name", overview, `"name":"controlGroup_actor:optionsListDataView"`,
			`"name":"controlGroup_host:optionsListDataView"`, "two references are called",
		},
		{
			"a dashboard whose first file has links", investigation,
			`{"type":"index-pattern","id":"reconbeat-process","name":"kibanaSavedObjectMeta.searchSourceJSON.filter[0].meta.index"}`,
			`{"type":"dashboard","id":"reconbeat-investigation","name":"back"},{"type":"index-pattern","id":"reconbeat-process","name":"kibanaSavedObjectMeta.searchSourceJSON.filter[0].meta.index"}`,
			"leads back to itself",
		},
		{
			"a dashboard that leads to itself", overview, `{"type":"tag","id":"reconbeat-tag"`,
			`{"type":"dashboard","id":"reconbeat-overview","name":"self"},{"type":"tag","id":"reconbeat-tag"`,
			"leads back to itself",
		},
		{
			"a dashboard that does not lead to each other one", linked, `"type":"dashboard","id":"reconbeat-investigation"`,
			`"type":"dashboard","id":"reconbeat-overview"`, "no link leads to reconbeat-investigation",
		},
		{
			"a dashboard without its second file", linked, `"id":"reconbeat-overview"`, `"id":"reconbeat-over"`,
			"which has its links",
		},
		{
			"a panel whose data view is another inside than outside", overview,
			`"id":"reconbeat-alert","name":"indexpattern-datasource-layer-alerts"`,
			`"id":"reconbeat-process","name":"indexpattern-datasource-layer-alerts"`,
			`is to "reconbeat-process", in the dashboard to "reconbeat-alert"`,
		},
		{
			"a layer without a data view", overview, `"indexpattern-datasource-layer-alerts"`,
			`"indexpattern-datasource-layer-x"`, "the layer alerts has no data view",
		},
		{"a dashboard without a description", overview, `"description":"Unusual`, `"description":"","x":"Who`, "unknown field"},
		{
			"a dashboard with an empty description", savedQuery, `"description":"Alerts, without summaries and test alerts."`,
			`"description":""`, "no description",
		},
		{
			"a dashboard without its prefix", overview, `"title":"[Logs Reconbeat] Overview"`, `"title":"Reconbeat overview"`,
			"does not begin with",
		},
		{
			"a prefix in brackets", overview, `"title":"Hosts with alerts"`, `"title":"[Logs Reconbeat] Hosts"`,
			"begins with a prefix in brackets",
		},
		{
			"two panels of one title", overview, `"title":"Hosts with alerts"`, `"title":"Alerts"`,
			"another panel has the title",
		},
		{
			"a dashboard that opens with half a range of time", sensorHealth, `"timeTo":"now"`, `"timeTo":""`,
			"do not fit together",
		},
		{
			"no filter on the data sets", overview, `"key":"data_stream.dataset","field":"data_stream.dataset"`,
			`"key":"event.dataset","field":"event.dataset"`, "no filter on data_stream.dataset",
		},
		{
			"a filter whose query is of another field", investigation,
			`"match_phrase":{"data_stream.dataset":"reconbeat.alert"}},{"match_phrase":{"data_stream.dataset"`,
			`"match_phrase":{"x":"reconbeat.alert"}},{"match_phrase":{"y"`, "do not fit together",
		},
		{
			"a filter without a data view", overview,
			`"indexRefName":"kibanaSavedObjectMeta.searchSourceJSON.filter[0].meta.index"`, `"indexRefName":"x"`,
			"the filter on data_stream.dataset has no data view",
		},
		{"controls that are not JSON", overview, `"panelsJSON":"{`, `"panelsJSON":"`, "controlGroupInput.panelsJSON"},
		{
			"controls that are an object, which libbeat does not put into a string", overview, `"panelsJSON":"{`,
			`"panelsJSON":{}, "x":"{`, "Dashboard",
		},
		{"no controls", overview, `"panelsJSON":"{`, `"panelsJSON":"{}","ignoreParentSettingsJSON":"{`, "no controls"},
		{
			"a control of a field that does not exist", overview, `\"fieldName\":\"host.name\"`, `\"fieldName\":\"host.nam\"`,
			"the control host names the field host.nam, which is in no document",
		},
		{
			"a control of a text", overview, `\"fieldName\":\"host.name\"`, `\"fieldName\":\"message\"`,
			"counts the values of message, which is match_only_text",
		},
		{
			"a control without a data view", overview, `"name":"controlGroup_host:optionsListDataView"`,
			`"name":"controlGroup_x:optionsListDataView"`, "the control host has no data view",
		},
		{"a control under another id", overview, `\"id\":\"host\"`, `\"id\":\"x\"`, "the control host is of the type"},
		{"a panel beyond the grid", overview, `"w":16`, `"w":49`, "does not stand on the grid"},
		{"a panel without height", overview, `"h":6`, `"h":0`, "does not stand on the grid"},
		{"panels over one another", overview, `"x":16`, `"x":11`, "it lies over the panel alerts"},
		{"a panel whose place has another name", overview, `"i":"alerts"`, `"i":"x"`, `gridData.i is "x"`},
		{
			"a panel of a kind that is not known", overview, `"type":"lens","panelIndex":"alerts"`,
			`"type":"map","panelIndex":"alerts"`, `a panel has the type "map"`,
		},
		{
			"a chart of a kind that is not known", overview, `"lnsMetric"`, `"lnsLegacyMetric"`,
			`"lnsLegacyMetric" is not a kind of chart`,
		},
		{"a chart with another kind's state", overview, `"lnsMetric"`, `"lnsXY"`, "unknown field"},
		{"a chart that draws another layer", overview, `"layerId":"alerts"`, `"layerId":"x"`, `the layer "x" is drawn`},
		{
			"a chart of a column that does not exist", overview, `"metricAccessor":"count"`, `"metricAccessor":"x"`,
			`the column "x" is drawn, which does not exist`,
		},
		{"a column that is not drawn", overview, `"splitAccessor":"severity",`, ``, "the column severity is not drawn"},
		{
			"a column in the other role", overview, `"splitAccessor":"severity"`, `"splitAccessor":"count"`,
			"the column count is drawn in the other role",
		},
		{
			"a table with a column twice", overview, `"columnId":"score","isMetric"`, `"columnId":"seen","isMetric"`,
			"the column seen is drawn twice",
		},
		{
			"a table that is sorted by what it has not", overview, `"sorting":{"columnId":"score"`,
			`"sorting":{"columnId":"x"`, `sorted by the column "x"`,
		},
		{"an order of columns without one of them", overview, `"columnOrder":["actor",`, `"columnOrder":[`, "columnOrder"},
		{
			"a value before what parts the documents", overview, `"columnOrder":["actor","score",`,
			`"columnOrder":["score","actor",`, "the column actor parts the documents behind the value score",
		},
		{
			"terms in no order", overview, `"columnId":"score"},"orderDirection":"desc"`,
			`"columnId":"actor"},"orderDirection":"desc"`, "is not a value that one can order by",
		},
		{
			"terms in an order on which shards do not agree", overview, `"columnId":"score"},"orderDirection":"desc"`,
			`"columnId":"score"},"orderDirection":"asc"`, "ordered by a max, asc: over several shards that is wrong",
		},
		{
			"terms in an order that is not a field's", investigation, `"orderAgg":{"label":"Highest score"`,
			`"orderAgg":{"label":""`, "has no label of its own",
		},
		{"a line without a number", investigation, `"value":"25"`, `"value":"high"`, "is not a value with a label"},
		{"terms without a size", overview, `"size":50,`, ``, "has no size or no order"},
		{
			"an operation that is not known", overview, `"operationType":"count"`, `"operationType":"formula"`,
			`the operation "formula", which is not known`,
		},
		{
			"a column without a label", overview, `"label":"Alerts","customLabel":true`, `"label":"","customLabel":true`,
			"has no label of its own",
		},
		{"a count of a field", overview, `"sourceField":"___records___"`, `"sourceField":"host.name"`, "not ___records___"},
		{
			"the values of a field that does not exist", overview, `"sourceField":"host.name"`, `"sourceField":"host.nam"`,
			"host.nam, which is in no document",
		},
		{
			"the values of a text", overview, `"sourceField":"host.name"`, `"sourceField":"message"`,
			"counts the values of message",
		},
		{
			"a sum of words", sensorHealth, `"sourceField":"reconbeat.health.lost"`, `"sourceField":"reconbeat.health.status"`,
			"sum of reconbeat.health.status, which is keyword",
		},
		{
			"a column of another type than its field's", overview, `"dataType":"date"`, `"dataType":"number"`,
			`is of the type "number"`,
		},
		{
			"a column that parts and should not", overview, `"isBucketed":false,"operationType":"count"`,
			`"isBucketed":true,"operationType":"count"`, "parts the documents: true",
		},
		{"a time without an interval", overview, `"interval":"auto",`, ``, "has no interval"},
		{"a percentile that is none", sensorHealth, `"percentile":95`, `"percentile":100`, "is the percentile 100"},
		{"a last value by no time", sensorHealth, `"sortField":"@timestamp"`, `"sortField":"host.name"`, "it needs a date"},
		{
			"a part without a query that can be read", overview, `"query":"event.severity:99"`,
			`"query":"event.severity:99 and"`, "the part critical of the column severity",
		},
		{
			"a column's filter on a field that does not exist", sensorHealth,
			`"query":"reconbeat.health.status:(degraded or failed)"`, `"query":"status:failed"`,
			"the filter of the column count names the field status",
		},
		{
			"a panel whose query dangles, which Kibana takes", overview,
			shown, `"query":"event.kind:alert and"`,
			"the end where a field should be",
		},
		{
			"a panel without a query", overview, shown, `"query":""`,
			"no query",
		},
		{"a query in another language", savedQuery, `"kuery"`, `"lucene"`, `in "lucene", not in kuery`},
		{
			"a query on a field that does not exist", savedQuery, `event.kind:alert`, `event.knd:alert`,
			"event.knd, which is in no document",
		},
		{
			"a list with a column that does not exist", overview, `"event.reason",`, `"event.raison",`,
			"a column names the field event.raison",
		},
		{
			"a list that is sorted by a text", overview, `"@timestamp","desc"`, `"message","desc"`,
			"the order counts the values of message",
		},
		{
			"a list without a data view", overview, `"indexRefName":"kibanaSavedObjectMeta.searchSourceJSON.index"`,
			`"indexRefName":"x"`, "no data view",
		},
		{
			"a chart in ES|QL of another data view", sensorHealth, `"index":"reconbeat-health"`, `"index":"reconbeat-alert"`,
			"or reads something else",
		},
		{
			"a chart in ES|QL on a field that does not exist", sensorHealth, `SUM(reconbeat.health.lost)`,
			`SUM(reconbeat.health.last)`, "or reads something else",
		},
		{
			"a chart in ES|QL of a column that does not come out", sensorHealth, `"fieldName":"seen"`, `"fieldName":"heard"`,
			`is of "heard", which the query does not return`,
		},
		{
			"a chart in ES|QL that cannot be read", sensorHealth, `| SORT seen ASC`, `| ORDER BY seen`,
			"or reads something else",
		},
		{
			"a data view without a time", view, `"timeFieldName":"@timestamp"`, `"timeFieldName":"host.name"`,
			`the time field "host.name" is not a date`,
		},
		{
			"a data view whose string holds no object", view, `"fieldAttrs":"{}"`, `"fieldAttrs":""`,
			"fieldAttrs is not an object in a string",
		},

		{
			name: "a rule whose id is not a UUID", file: saved.RulesFile, old: `"rule_id":"b0a2c1de-`,
			new: `"rule_id":"reconbeat-`, want: "is not a UUID",
		},
		{
			name: "a rule of a key that Kibana does not have", file: saved.RulesFile, old: `"max_signals"`,
			new: `"max_alerts"`, want: "unknown field",
		},
		{
			name: "a rule that is not JSON", file: saved.RulesFile, old: `{`, new: `[`,
			want: "rules/reconbeat.ndjson, line 1",
		},
		{
			name: "a rule on a field that does not exist", file: saved.RulesFile, old: `event.module:reconbeat`,
			new: `event.modul:reconbeat`, want: "event.modul, which is in no document",
		},
		{
			name: "a rule of an index that has no data view", file: saved.RulesFile,
			old: `"index":["logs-reconbeat.alert-*"]`, new: `"index":["logs-*"]`, want: "it reads logs-*",
		},
		{
			name: "a rule without an index", file: saved.RulesFile, old: `"index":["logs-reconbeat.alert-*"]`,
			new: `"index":[]`, want: "no index",
		},
		{
			name: "a rule of a type that is not known", file: saved.RulesFile, old: `"type":"query"`,
			new: `"type":"eql"`, want: `invalid type "eql"`,
		},
		{
			name: "a threshold of nothing", file: saved.RulesFile, old: `"value":5}`, new: `"value":0}`,
			want: "the threshold is 0",
		},
		{
			name: "a threshold of a text", file: saved.RulesFile, old: `"field":["host.name"]`,
			new: `"field":["message"]`, want: "the threshold counts the values of message",
		},
		{
			name: "a rule in ES|QL that reads other data", file: saved.RulesFile, old: `FROM logs-reconbeat.health-*`,
			new: `FROM logs-*`, want: "it reads logs-*",
		},
		{
			name: "a rule in ES|QL on a field that does not exist", file: saved.RulesFile, old: `BY host.name`,
			new: `BY host.nam`, want: "the query names the field host.nam, which is in no document",
		},
		{
			name: "a rule in ES|QL that reads nothing", file: saved.RulesFile, old: `FROM logs-reconbeat.health-*`,
			new: `ROW a = 1`, want: "begins with FROM",
		},
		{
			name: "a rule whose runs leave gaps", file: saved.RulesFile, old: `"from":"now-5m"`,
			new: `"from":"now-1m"`, want: "a search that comes late leaves a gap",
		},
		{
			name: "a rule that searches no span of time", file: saved.RulesFile, old: `"from":"now-5m"`, new: `"from":"5m"`,
			want: "it searches from",
		},
		{
			name: "a rule without an interval", file: saved.RulesFile, old: `"interval":"1m"`,
			new: `"interval":"often"`, want: `the interval is "often"`,
		},
		{
			name: "a risk that does not fit the severity", file: saved.RulesFile, old: `"risk_score":21`,
			new: `"risk_score":22`, want: "they go together",
		},
		{
			name: "a mapping to a severity that does not fit", file: saved.RulesFile, old: `"value":"47"`,
			new: `"value":"50"`, want: `severity_mapping takes "50" for "medium"`,
		},
		{
			name: "a risk without a number", file: saved.RulesFile, old: `{"field":"event.risk_score"`,
			new: `{"field":"event.kind"`, want: "risk_score_mapping does not take the number",
		},
		{
			name: "a time that is none", file: saved.RulesFile, old: `"timestamp_override":"event.ingested"`,
			new: `"timestamp_override":"event.kind"`, want: "which is not a date",
		},
		{
			name: "a name from a field that does not exist", file: saved.RulesFile,
			old: `"rule_name_override":"message"`, new: `"rule_name_override":"massage"`,
			want: "rule_name_override names the field massage",
		},
		{
			name: "suppression by a text", file: saved.RulesFile, old: `"group_by":["rule.id"`,
			new: `"group_by":["message"`, want: "alert_suppression counts the values of message",
		},
		{
			name: "suppression by too many fields", file: saved.RulesFile, old: `"group_by":["rule.id"`,
			new: `"group_by":["rule.id","host.name"`, want: "alert_suppression groups by",
		},
		{
			name: "suppression without a strategy", file: saved.RulesFile,
			old: `"missing_fields_strategy":"doNotSuppress"`, new: `"missing_fields_strategy":"no"`,
			want: "alert_suppression groups by",
		},
		{
			name: "suppression without a duration", file: saved.RulesFile, old: `"duration":{"value":1,"unit":"h"}`,
			new: `"duration":{"value":1,"unit":"d"}`, want: "alert_suppression has no duration",
		},
		{
			name: "an investigation field that does not exist", file: saved.RulesFile,
			old: `"field_names":["event.reason"`, new: `"field_names":["event.raison"`,
			want: "investigation_fields names the field event.raison",
		},
		{
			name: "a required field of another type", file: saved.RulesFile,
			old: `{"name":"event.kind","type":"keyword"}`, new: `{"name":"event.kind","type":"text"}`,
			want: "required_fields has event.kind as text",
		},
		{
			name: "a technique under another name", file: saved.RulesFile,
			old: `"name":"System Network Connections Discovery"`, new: `"name":"Network Discovery"`,
			want: "ATT&CK's T1049 is not",
		},
		{
			name: "a technique at another address", file: saved.RulesFile, old: `techniques/T1049/"}]`,
			new: `techniques/T1049"}]`, want: "ATT&CK's T1049 is not",
		},
		{
			name: "a timeline without a title", file: saved.RulesFile,
			old: `"timeline_title":"Comprehensive Process Timeline"`, new: `"timeline_title":""`,
			want: "the timeline has the id",
		},
		{
			name: "a rule without a guide", file: saved.RulesFile, old: `"note":"`, new: `"note":"","x":"`,
			want: "unknown field",
		},
		{
			name: "a guide whose search is of a field that does not exist", file: saved.RulesFile,
			old: `\"field\":\"process.parent.entity_id\"`, new: `\"field\":\"process.parent.entityid\"`,
			want: "a search of the guide names the field process.parent.entityid",
		},
		{
			name: "a rule without a setup", file: saved.RulesFile, old: `"setup":"`,
			new: `"setup":"","references":[],"license":"`, want: "no investigation guide or no setup",
		},
		{
			name: "two rules of one id", file: saved.RulesFile, old: `4f1c2b7a-98d3-4e0a-8a55-2f6b0d9e7c21`,
			new: `b0a2c1de-6d0c-4c52-9b2e-7a5f1c5b3d10`, want: "is another rule's, too",
		},
		{
			name: "a rule that changed under the same version", file: saved.RulesFile, old: `"max_signals":1000`,
			new: `"max_signals":100`, want: "it changed and is still of version ",
		},
		{
			name: "a rule of a higher version that the sums do not have", file: saved.RulesFile, old: `"version":2`,
			new: `"version":3`, want: "rules.sum: not up to date",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := committed(t)
			text := compact(t, c.file, files[c.file].Data)
			require.True(t, strings.Contains(text, c.old), "the test puts its fault nowhere: %s is not in %s", c.old,
				c.file)
			files[c.file] = &fstest.MapFile{Data: []byte(strings.Replace(text, c.old, c.new, 1))}
			require.ErrorContains(t, Check(files, types, os.DirFS(".."), sums), c.want)
		})
	}
	t.Run("a file that libbeat does not read", func(t *testing.T) {
		files := committed(t)
		files["7/dashboard/reconbeat.ndjson"] = files[overview]
		require.ErrorContains(t, Check(files, types, os.DirFS(".."), sums), "libbeat reads .json only")
	})
	t.Run("no rules", func(t *testing.T) {
		files := committed(t)
		delete(files, saved.RulesFile)
		require.ErrorContains(t, Check(files, types, os.DirFS(".."), sums), "reading the rules")
	})
}

func TestSum(t *testing.T) {
	rules := []saved.Rule{{RuleID: "a", Version: 1, Name: "A"}, {RuleID: "b", Version: 3, Name: "B"}}
	first, err := Sum(rules, nil)
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(string(first), "\n"))
	again, err := Sum(rules, first)
	require.NoError(t, err)
	require.Equal(t, string(first), string(again))

	rules[1].Name = "B, better"
	_, err = Sum(rules, first)
	require.ErrorContains(t, err, "rule B, better: it changed and is still of version 3; give it version 4")
	rules[1].Version = 4
	second, err := Sum(rules, first)
	require.NoError(t, err)
	require.NotEqual(t, string(first), string(second))
	rules[1].Version = 2
	_, err = Sum(rules, first)
	require.Error(t, err)
	_, err = Sum(rules, []byte("nonsense\n"))
	require.ErrorContains(t, err, "cannot be read")
}

// TestRawIsWhatKibanaReads holds the encoding: no HTML escapes, which would make queries unreadable.
func TestRawIsWhatKibanaReads(t *testing.T) {
	require.Equal(t, `{"language":"kuery","query":"a < 3 and b > 4"}`,
		string(saved.Raw(saved.Kuery("a < 3 and b > 4"))))
	var back saved.KQL
	require.NoError(t, json.Unmarshal(saved.Raw(saved.Kuery("x")), &back))
}
