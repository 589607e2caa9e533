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
			name: "an object without a version of its envelope", file: overview, old: `"coreMigrationVersion":"8.8.0"`,
			new: `"coreMigrationVersion":""`, want: "coreMigrationVersion is",
		},
		{
			name: "an object without a version of its type", file: overview, old: `"typeMigrationVersion":"10.2.0"`,
			new: `"typeMigrationVersion":""`, want: "typeMigrationVersion is",
		},
		{
			name: "an object of a type that we do not ship", file: savedQuery, old: `"type":"query"`,
			new: `"type":"search"`, want: "no type that we ship",
		},
		{
			name: "an object in the wrong folder", file: savedQuery, old: `"type":"query"`, new: `"type":"tag"`,
			want: "belongs into the folder tag",
		},
		{
			name: "an object with another id than its file's", file: overview, old: `"id":"reconbeat-overview"`,
			new: `"id":"reconbeat-other"`, want: "its id is",
		},
		{
			name: "a key that Kibana does not have", file: overview, old: `"timeRestore"`, new: `"timeRestored"`,
			want: "unknown field",
		},
		{name: "text behind an object", file: savedQuery, old: `]}`, new: `]}{}`, want: "something follows it"},
		{
			name: "a data view that we do not ship", file: overview, old: `"id":"reconbeat-health","name":"held-back`,
			new: `"id":"logs-*","name":"held-back`, want: "data view logs-*, which we do not ship",
		},
		{
			name: "a tag that we do not ship", file: overview, old: `"id":"reconbeat-tag"`,
			new: `"id":"reconbeat-label"`, want: "the tag reconbeat-label, which we do not ship",
		},
		{
			name: "a link to a dashboard that does not exist", file: linked,
			old:  `"type":"dashboard","id":"reconbeat-investigation"`,
			new:  `"type":"dashboard","id":"reconbeat-nowhere"`,
			want: "the dashboard reconbeat-nowhere, which we do not ship",
		},
		{
			name: "a link whose reference is missing", file: linked,
			old: `"destinationRefName":"link_reconbeat-investigation_dashboard"`, new: `"destinationRefName":"link_x"`,
			want: "leads nowhere",
		},
		{
			name: "a reference that nothing uses", file: linked,
			old: `"name":"links:link_reconbeat-investigation_dashboard"`, new: `"name":"links:other"`,
			want: "nothing uses the reference links:other",
		},
		{
			name: "references of the same name", file: overview, old: `"name":"controlGroup_actor:optionsListDataView"`,
			new: `"name":"controlGroup_host:optionsListDataView"`, want: "two references are called",
		},
		{
			name: "a dashboard whose first file has links", file: investigation,
			old: `{"type":"index-pattern","id":"reconbeat-process",` +
				`"name":"kibanaSavedObjectMeta.searchSourceJSON.filter[0].meta.index"}`,
			new: `{"type":"dashboard","id":"reconbeat-investigation","name":"back"},{"type":"index-pattern",` +
				`"id":"reconbeat-process","name":"kibanaSavedObjectMeta.searchSourceJSON.filter[0].meta.index"}`,
			want: "leads back to itself",
		},
		{
			name: "a dashboard that leads to itself", file: overview, old: `{"type":"tag","id":"reconbeat-tag"`,
			new:  `{"type":"dashboard","id":"reconbeat-overview","name":"self"},{"type":"tag","id":"reconbeat-tag"`,
			want: "leads back to itself",
		},
		{
			name: "a dashboard that does not lead to each other one", file: linked,
			old: `"type":"dashboard","id":"reconbeat-investigation"`,
			new: `"type":"dashboard","id":"reconbeat-overview"`, want: "no link leads to reconbeat-investigation",
		},
		{
			name: "a dashboard without its second file", file: linked, old: `"id":"reconbeat-overview"`,
			new: `"id":"reconbeat-over"`, want: "which has its links",
		},
		{
			name: "a panel whose data view is another inside than outside", file: overview,
			old:  `"id":"reconbeat-alert","name":"indexpattern-datasource-layer-alerts"`,
			new:  `"id":"reconbeat-process","name":"indexpattern-datasource-layer-alerts"`,
			want: `is to "reconbeat-process", in the dashboard to "reconbeat-alert"`,
		},
		{
			name: "a layer without a data view", file: overview, old: `"indexpattern-datasource-layer-alerts"`,
			new: `"indexpattern-datasource-layer-x"`, want: "the layer alerts has no data view",
		},
		{
			name: "a dashboard without a description", file: overview, old: `"description":"Who`,
			new: `"description":"","x":"Who`, want: "unknown field",
		},
		{
			name: "a dashboard with an empty description", file: savedQuery,
			old: `"description":"Alerts, without summaries and test alerts."`, new: `"description":""`,
			want: "no description",
		},
		{
			name: "a dashboard without its prefix", file: overview, old: `"title":"[Logs Reconbeat] Overview"`,
			new: `"title":"Reconbeat overview"`, want: "does not begin with",
		},
		{
			name: "a prefix in brackets", file: overview, old: `"title":"Hosts with alerts"`,
			new: `"title":"[Logs Reconbeat] Hosts"`, want: "begins with a prefix in brackets",
		},
		{
			name: "two panels of one title", file: overview, old: `"title":"Hosts with alerts"`,
			new: `"title":"Alerts"`, want: "another panel has the title",
		},
		{
			name: "a dashboard that opens with half a range of time", file: sensorHealth, old: `"timeTo":"now"`,
			new: `"timeTo":""`, want: "do not fit together",
		},
		{
			name: "no filter on the data sets", file: overview,
			old: `"key":"data_stream.dataset","field":"data_stream.dataset"`,
			new: `"key":"event.dataset","field":"event.dataset"`, want: "no filter on data_stream.dataset",
		},
		{
			name: "a filter whose query is of another field", file: overview,
			old: `"match_phrase":{"data_stream.dataset":"reconbeat.alert"}},{"match_phrase":{"data_stream.dataset"`,
			new: `"match_phrase":{"x":"reconbeat.alert"}},{"match_phrase":{"y"`, want: "do not fit together",
		},
		{
			name: "a filter without a data view", file: overview,
			old: `"indexRefName":"kibanaSavedObjectMeta.searchSourceJSON.filter[0].meta.index"`,
			new: `"indexRefName":"x"`, want: "the filter on data_stream.dataset has no data view",
		},
		{
			name: "controls that are no JSON", file: overview, old: `"panelsJSON":"{`, new: `"panelsJSON":"`,
			want: "controlGroupInput.panelsJSON",
		},
		{
			name: "controls that are an object, which libbeat does not put into a string", file: overview,
			old: `"panelsJSON":"{`, new: `"panelsJSON":{}, "x":"{`, want: "Dashboard",
		},
		{
			name: "no controls", file: overview, old: `"panelsJSON":"{`,
			new: `"panelsJSON":"{}","ignoreParentSettingsJSON":"{`, want: "no controls",
		},
		{
			name: "a control of a field that does not exist", file: overview, old: `\"fieldName\":\"host.name\"`,
			new:  `\"fieldName\":\"host.nam\"`,
			want: "the control host names the field host.nam, which is in no document",
		},
		{
			name: "a control of a text", file: overview, old: `\"fieldName\":\"host.name\"`,
			new: `\"fieldName\":\"message\"`, want: "counts the values of message, which is match_only_text",
		},
		{
			name: "a control without a data view", file: overview,
			old: `"name":"controlGroup_host:optionsListDataView"`, new: `"name":"controlGroup_x:optionsListDataView"`,
			want: "the control host has no data view",
		},
		{
			name: "a control under another id", file: overview, old: `\"id\":\"host\"`, new: `\"id\":\"x\"`,
			want: "the control host is of the type",
		},
		{
			name: "a panel beyond the grid", file: overview, old: `"w":12`, new: `"w":49`,
			want: "does not stand on the grid",
		},
		{
			name: "a panel without height", file: overview, old: `"h":6`, new: `"h":0`,
			want: "does not stand on the grid",
		},
		{
			name: "panels over one another", file: overview, old: `"x":12`, new: `"x":11`,
			want: "it lies over the panel alerts",
		},
		{
			name: "a panel whose place has another name", file: overview, old: `"i":"alerts"`, new: `"i":"x"`,
			want: `gridData.i is "x"`,
		},
		{
			name: "a panel of a kind that is not known", file: overview, old: `"type":"lens","panelIndex":"alerts"`,
			new: `"type":"map","panelIndex":"alerts"`, want: `a panel of the type "map"`,
		},
		{
			name: "a chart of a kind that is not known", file: overview, old: `"lnsMetric"`, new: `"lnsLegacyMetric"`,
			want: `"lnsLegacyMetric" is no kind of chart`,
		},
		{
			name: "a chart with another kind's state", file: overview, old: `"lnsMetric"`, new: `"lnsXY"`,
			want: "unknown field",
		},
		{
			name: "a chart that draws another layer", file: overview, old: `"layerId":"alerts"`, new: `"layerId":"x"`,
			want: `the layer "x" is drawn`,
		},
		{
			name: "a chart of a column that does not exist", file: overview, old: `"metricAccessor":"count"`,
			new: `"metricAccessor":"x"`, want: `the column "x" is drawn, which does not exist`,
		},
		{
			name: "a column that is not drawn", file: overview, old: `"splitAccessor":"severity",`, new: ``,
			want: "the column severity is not drawn",
		},
		{
			name: "a column in the other role", file: overview, old: `"splitAccessor":"severity"`,
			new: `"splitAccessor":"count"`, want: "the column count is drawn in the other role",
		},
		{
			name: "a table with a column twice", file: overview, old: `"columnId":"score","isMetric"`,
			new: `"columnId":"seen","isMetric"`, want: "the column seen is drawn twice",
		},
		{
			name: "a table that is sorted by what it has not", file: overview, old: `"sorting":{"columnId":"score"`,
			new: `"sorting":{"columnId":"x"`, want: `sorted by the column "x"`,
		},
		{
			name: "an order of columns without one of them", file: overview, old: `"columnOrder":["actor",`,
			new: `"columnOrder":[`, want: "columnOrder",
		},
		{
			name: "a value before what parts the documents", file: overview, old: `"columnOrder":["actor","score",`,
			new: `"columnOrder":["score","actor",`, want: "the column actor parts the documents behind the value score",
		},
		{
			name: "terms in no order", file: overview, old: `"columnId":"score"},"orderDirection":"desc"`,
			new: `"columnId":"actor"},"orderDirection":"desc"`, want: "no value that one can order by",
		},
		{
			name: "terms in an order on which shards do not agree", file: overview,
			old: `"columnId":"score"},"orderDirection":"desc"`, new: `"columnId":"score"},"orderDirection":"asc"`,
			want: "ordered by a max, asc: over several shards that is wrong",
		},
		{
			name: "terms in an order that is no field's", file: investigation,
			old: `"orderAgg":{"label":"Highest score"`, new: `"orderAgg":{"label":""`, want: "has no label of its own",
		},
		{
			name: "a line that is no number", file: investigation, old: `"value":"25"`, new: `"value":"high"`,
			want: "is no value with a label",
		},
		{name: "terms without a size", file: overview, old: `"size":50,`, new: ``, want: "has no size or no order"},
		{
			name: "an operation that is not known", file: overview, old: `"operationType":"count"`,
			new: `"operationType":"formula"`, want: `the operation "formula", which is not known`,
		},
		{
			name: "a column without a label", file: overview, old: `"label":"Alerts","customLabel":true`,
			new: `"label":"","customLabel":true`, want: "has no label of its own",
		},
		{
			name: "a count of a field", file: overview, old: `"sourceField":"___records___"`,
			new: `"sourceField":"host.name"`, want: "not ___records___",
		},
		{
			name: "the values of a field that does not exist", file: overview, old: `"sourceField":"host.name"`,
			new: `"sourceField":"host.nam"`, want: "host.nam, which is in no document",
		},
		{
			name: "the values of a text", file: overview, old: `"sourceField":"host.name"`,
			new: `"sourceField":"message"`, want: "counts the values of message",
		},
		{
			name: "a sum of words", file: overview, old: `"sourceField":"reconbeat.health.suppressed"`,
			new: `"sourceField":"reconbeat.health.status"`, want: "sum of reconbeat.health.status, which is keyword",
		},
		{
			name: "a column of another type than its field's", file: overview, old: `"dataType":"date"`,
			new: `"dataType":"number"`, want: `is of the type "number"`,
		},
		{
			name: "a column that parts and should not", file: overview,
			old: `"isBucketed":false,"operationType":"count"`, new: `"isBucketed":true,"operationType":"count"`,
			want: "parts the documents: true",
		},
		{
			name: "a time without an interval", file: overview, old: `"interval":"auto",`, new: ``,
			want: "has no interval",
		},
		{
			name: "a percentile that is none", file: sensorHealth, old: `"percentile":95`, new: `"percentile":100`,
			want: "is the percentile 100",
		},
		{
			name: "a last value by no time", file: sensorHealth, old: `"sortField":"@timestamp"`,
			new: `"sortField":"host.name"`, want: "it needs a date",
		},
		{
			name: "a part without a query that can be read", file: overview, old: `"query":"event.severity:99"`,
			new: `"query":"event.severity:99 and"`, want: "the part critical of the column severity",
		},
		{
			name: "a column's filter on a field that does not exist", file: sensorHealth,
			old: `"query":"reconbeat.health.status:(degraded or failed)"`, new: `"query":"status:failed"`,
			want: "the filter of the column count names the field status",
		},
		{
			name: "a panel whose query dangles, which Kibana takes", file: overview,
			old: `"query":"event.kind:alert and not reconbeat.alert.test:true"`, new: `"query":"event.kind:alert and"`,
			want: "the end where a field should be",
		},
		{
			name: "a panel without a query", file: overview,
			old: `"query":"event.kind:alert and not reconbeat.alert.test:true"`, new: `"query":""`, want: "no query",
		},
		{
			name: "a query in another language", file: savedQuery, old: `"kuery"`, new: `"lucene"`,
			want: `in "lucene", not in kuery`,
		},
		{
			name: "a query on a field that does not exist", file: savedQuery, old: `event.kind:alert`,
			new: `event.knd:alert`, want: "event.knd, which is in no document",
		},
		{
			name: "a list with a column that does not exist", file: overview, old: `"event.reason",`,
			new: `"event.raison",`, want: "a column names the field event.raison",
		},
		{
			name: "a list that is sorted by a text", file: overview, old: `"@timestamp","desc"`,
			new: `"message","desc"`, want: "the order counts the values of message",
		},
		{
			name: "a list without a data view", file: overview,
			old: `"indexRefName":"kibanaSavedObjectMeta.searchSourceJSON.index"`, new: `"indexRefName":"x"`,
			want: "no data view",
		},
		{
			name: "a chart in ES|QL of another data view", file: sensorHealth, old: `"index":"reconbeat-health"`,
			new: `"index":"reconbeat-alert"`, want: "or reads something else",
		},
		{
			name: "a chart in ES|QL on a field that does not exist", file: sensorHealth,
			old: `SUM(reconbeat.health.lost)`, new: `SUM(reconbeat.health.last)`, want: "or reads something else",
		},
		{
			name: "a chart in ES|QL of a column that does not come out", file: sensorHealth, old: `"fieldName":"seen"`,
			new: `"fieldName":"heard"`, want: `is of "heard", which the query does not return`,
		},
		{
			name: "a chart in ES|QL that cannot be read", file: sensorHealth, old: `| SORT seen ASC`,
			new: `| ORDER BY seen`, want: "or reads something else",
		},
		{
			name: "a data view without a time", file: view, old: `"timeFieldName":"@timestamp"`,
			new: `"timeFieldName":"host.name"`, want: `the time field "host.name" is no date`,
		},
		{
			name: "a data view whose string holds no object", file: view, old: `"fieldAttrs":"{}"`,
			new: `"fieldAttrs":""`, want: "fieldAttrs is no object in a string",
		},

		{
			name: "a rule whose id is no UUID", file: saved.RulesFile, old: `"rule_id":"b0a2c1de-`,
			new: `"rule_id":"reconbeat-`, want: "is no UUID",
		},
		{
			name: "a rule of a key that Kibana does not have", file: saved.RulesFile, old: `"max_signals"`,
			new: `"max_alerts"`, want: "unknown field",
		},
		{
			name: "a rule that is no JSON", file: saved.RulesFile, old: `{`, new: `[`,
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
			new: `"type":"eql"`, want: `the type is "eql"`,
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
			name: "a rule whose looks leave gaps", file: saved.RulesFile, old: `"from":"now-5m"`,
			new: `"from":"now-1m"`, want: "a search that comes late leaves a gap",
		},
		{
			name: "a rule that looks at no time", file: saved.RulesFile, old: `"from":"now-5m"`, new: `"from":"5m"`,
			want: "it looks from",
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
			name: "a risk that is no number", file: saved.RulesFile, old: `{"field":"event.risk_score"`,
			new: `{"field":"event.kind"`, want: "risk_score_mapping does not take the number",
		},
		{
			name: "a time that is none", file: saved.RulesFile, old: `"timestamp_override":"event.ingested"`,
			new: `"timestamp_override":"event.kind"`, want: "which is no date",
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
			new: `"max_signals":100`, want: "it changed and is still of version 2; give it version 3",
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
