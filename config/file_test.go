// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"regexp"
	"slices"
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
			require.Contains(t, slices.Concat(ofOutput[output], ofEveryOutput), m[1],
				"output.%s of the reference configuration", output)
		}
	}
	require.Len(t, found, 6, "the reference has all outputs but discard")
	for name, options := range map[string]any{
		"elasticsearch": elasticsearch.ElasticsearchConfig{}, "logstash": logstash.Config{},
		"console": console.Config{},
	} {
		given := map[string]any{"unknown": 1}
		require.ErrorContains(t, settings.Unknown("", conf.MustNewConfigFrom(given), options), "known here are")
		message := settings.Unknown("", conf.MustNewConfigFrom(given), options).Error()
		_, list, _ := strings.Cut(message, "known here are ")
		for _, known := range strings.Split(list, ", ") {
			require.Contains(t, slices.Concat(ofOutput[name], ofEveryOutput), known, "output.%s of libbeat", name)
		}
	}
}

func TestNamesThatVariablesReferToAreNoMistakes(t *testing.T) {
	require.NoError(t,
		CheckFile(conf.MustNewConfigFrom("es: {host: a}\nmy_tags: [x]\noutput.elasticsearch.hosts: "+
			"['${es.host}']\nqueue.disk: {max_size: 10GB}\n")))
}
