// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/elastic/beats/v7/libbeat/outputs/console"
	"github.com/elastic/beats/v7/libbeat/outputs/elasticsearch"
	"github.com/elastic/beats/v7/libbeat/outputs/logstash"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/config/settings"
)

// Misspelt names and unset variables outside our section are reported all at once.
func TestMistakesOutsideOurSectionAreReported(t *testing.T) {
	t.Setenv("RECONBEAT_TEST_SET", "x")
	err := CheckFile(conf.MustNewConfigFrom(`
recombeat.events: all
loging.level: debug
fleetwide: {hosts: [a]}
reconbeat.events: ${RECONBEAT_TEST_OURS}
logging.to_file: true
http.enabledd: true
path.cnofig: /etc
setup.tempate.enabled: false
setup.kibana.password: ${RECONBEAT_TEST_LATER}
queue: {mem.evnts: 5, mem.flush.timeout: soon, disk.read_ahead: 3}
output.elasticsearch:
  hostss: [a]
  hosts: ["${RECONBEAT_TEST_SET}", "${RECONBEAT_TEST_HOST}"]
  ssl.certificate_autorities: [a]
  ssl.restart_on_cert_change.enabled: true
  queue.mem.event: 3
output.logstash: {enabled: false, hostss: [a], password: "${RECONBEAT_TEST_OFF}"}
output.kafak: {hosts: [a]}
`))
	const notSet = " is not set; set the environment variable, or put it into the keystore: reconbeat keystore add "
	want := []string{
		"recombeat: no such setting; is reconbeat meant?",
		"loging: no such setting; is logging meant?",
		"logging.to_file: no such setting; known here are ecs, event_data, ",
		"http.enabledd: no such setting; known here are buffer, enabled, host, ",
		"path.cnofig: no such setting; known here are config, data, home, logs",
		"setup.tempate: no such setting; known here are dashboards, dsl, ilm, kibana, template",
		"queue.mem.evnts: no such setting; known here are events, flush",
		`queue.mem.flush.timeout: "soon" is not allowed; it must be a duration`,
		"output.elasticsearch.hostss: no such setting; known here are allow_older_versions, api_key, ",
		"output.elasticsearch.hosts.1: ${RECONBEAT_TEST_HOST}" + notSet + "RECONBEAT_TEST_HOST",
		"output.elasticsearch.ssl.certificate_autorities: no such setting; known here are ",
		"output.elasticsearch.queue.mem.event: no such setting; known here are events, flush",
		"output.kafak: no such output; known outputs are console, discard, elasticsearch, file, kafka, logstash, redis",
	}
	for _, one := range want {
		require.ErrorContains(t, err, one)
	}
	require.Len(t, strings.Split(err.Error(), "\n"), len(want), "%v", err)
}

func TestEverySettingOfAnOutputIsKnown(t *testing.T) {
	text, err := os.ReadFile("../reconbeat.reference.yml")
	require.NoError(t, err)
	section, name := regexp.MustCompile(`^#?output\.(\w+):`), regexp.MustCompile(`^  #?([a-z_]+)[.:]`)
	var output string
	found := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if m := section.FindStringSubmatch(line); m != nil {
			output = m[1]
		} else if regexp.MustCompile(`^#?[a-z]`).MatchString(line) {
			output = ""
		} else if m := name.FindStringSubmatch(line); m != nil && output != "" {
			found[output] = true
			require.Contains(t, namesOf(t, newOutput[output]()), m[1],
				"output.%s of the reference configuration", output)
		}
	}
	require.Len(t, found, 6, "the reference has all outputs but discard")
	for name, options := range map[string]any{
		"elasticsearch": elasticsearch.ElasticsearchConfig{}, "logstash": logstash.Config{},
		"console": console.Config{},
	} {
		for _, known := range namesOf(t, options) {
			require.Contains(t, namesOf(t, newOutput[name]()), known, "output.%s of libbeat", name)
		}
	}
}

// namesOf are the settings that a struct has.
func namesOf(t *testing.T, options any) []string {
	t.Helper()
	err := settings.Unknown("", conf.MustNewConfigFrom(map[string]any{"unknown": 1}), options)
	require.ErrorContains(t, err, "known here are ")
	_, list, _ := strings.Cut(err.Error(), "known here are ")
	return strings.Split(list, ", ")
}

// A value of a wrong type outside our section hides no other.
func TestValuesOutsideOurSectionAreChecked(t *testing.T) {
	t.Setenv("RECONBEAT_TEST_PROCS", "2")
	const text = `
max_procs: lots
gc_percent: ${RECONBEAT_TEST_PROCS}
name: [a]
tags: {a: 1}
fields: x
processors: x
path.data: [a]
timestamp.precision: day
keystore: 7
instrumentation.enabled: perhaps
setup.kibana: 7
monitoring: 7
logging: {level: loud, to_files: perhaps, metrics.period: nine, files: {keepfiles: 5000, rotateeverybytes: many}}
http: {port: nine, pprof.enabled: perhaps}
queue.mem: {events: 7, flush.min_events: many}
output.elasticsearch: {bulk_max_size: x, loadbalance: perhaps, timeout: soon, compression_level: 12, backoff.max: x}
output.logstash: {pipelining: -1, slow_start: perhaps}
output.kafka: {partition: x, required_acks: all}
output.redis.db: x
output.file: {permissions: rw, rotate_every_kb: x}
output.console.pretty: perhaps
`
	err := CheckFile(conf.MustNewConfigFrom(text))
	want := []string{
		`max_procs: "lots" is not allowed; it must be a whole number`,
		`name: a list is not allowed; it must be a text`,
		`fields: "x" is not allowed; it must be a mapping of settings`,
		`processors: "x" is not allowed; it must be a list`,
		`path.data: a list is not allowed; it must be a text`,
		`timestamp.precision: "day" is not allowed; it must be millisecond, microsecond or nanosecond`,
		`keystore: 7 is not allowed; it must be a mapping of settings`,
		`instrumentation.enabled: "perhaps" is not allowed; it must be true or false`,
		`setup.kibana: 7 is not allowed; it must be a mapping of settings`,
		`monitoring: 7 is not allowed; it must be a mapping of settings`,
		`logging.level: "loud" is not allowed; it must be debug, info, warning, error or critical`,
		`logging.to_files: "perhaps" is not allowed; it must be true or false`,
		`logging.metrics.period: "nine" is not allowed; it must be a duration such as 90s, 15m or 24h`,
		`logging.files.keepfiles: 5000 is not allowed; it must be <= 1024`,
		`logging.files.rotateeverybytes: "many" is not allowed; it must be a whole number, 0 or more`,
		`http.port: "nine" is not allowed; it must be a whole number`,
		`http.pprof.enabled: "perhaps" is not allowed; it must be true or false`,
		`queue.mem.events: 7 is not allowed; it must be >= 32`,
		`queue.mem.flush.min_events: "many" is not allowed; it must be a whole number`,
		`output.elasticsearch.bulk_max_size: "x" is not allowed; it must be a whole number`,
		`output.elasticsearch.loadbalance: "perhaps" is not allowed; it must be true or false`,
		`output.elasticsearch.timeout: "soon" is not allowed; it must be a duration such as 90s, 15m or 24h`,
		`output.elasticsearch.compression_level: 12 is not allowed; it must be <= 9`,
		`output.elasticsearch.backoff.max: "x" is not allowed; it must be a duration such as 90s, 15m or 24h`,
		`output.logstash.pipelining: -1 is not allowed; it must be >= 0`,
		`output.logstash.slow_start: "perhaps" is not allowed; it must be true or false`,
		`output.kafka.partition: "x" is not allowed; it must be a mapping of settings`,
		`output.kafka.required_acks: "all" is not allowed; it must be a whole number`,
		`output.redis.db: "x" is not allowed; it must be a whole number`,
		`output.file.permissions: "rw" is not allowed; it must be a whole number, 0 or more`,
		`output.file.rotate_every_kb: "x" is not allowed; it must be a whole number, 0 or more`,
		`output.console.pretty: "perhaps" is not allowed; it must be true or false`,
	}
	for _, one := range want {
		require.ErrorContains(t, err, one)
	}
	require.Len(t, strings.Split(err.Error(), "\n"), len(want), "%v", err)
	start := CheckStart(conf.MustNewConfigFrom(text))
	require.ErrorContains(t, start, want[0])
	require.NotContains(t, start.Error(), "output.")
}

// What libbeat reads first may refer to variables, also of a keystore that is not open yet.
func TestVariablesMayStandForAnyValue(t *testing.T) {
	require.NoError(t, CheckStart(conf.MustNewConfigFrom(`
max_procs: ${RECONBEAT_TEST_PROCS}
logging: {level: "${RECONBEAT_TEST_LEVEL}", to_files: "${RECONBEAT_TEST_FILES:true}"}
`)))
	for _, text := range []string{"{}", "logging.level: DEBUG", "timestamp.precision: nanosecond", "http.port: 5067",
		"logging.files: {keepfiles: 3, permissions: 0640}", "output.elasticsearch: {hosts: a, worker: 2}",
	} {
		require.NoError(t, CheckFile(conf.MustNewConfigFrom(text)), text)
	}
	reference, err := os.ReadFile("../reconbeat.reference.yml")
	require.NoError(t, err)
	require.NoError(t, CheckStart(conf.MustNewConfigFrom(string(reference))))
}

func TestNamesThatVariablesReferToAreNoMistakes(t *testing.T) {
	require.NoError(t,
		CheckFile(conf.MustNewConfigFrom("es: {host: a}\nmy_tags: [x]\noutput.elasticsearch.hosts: "+
			"['${es.host}']\nqueue.disk: {max_size: 10GB}\n")))
}
