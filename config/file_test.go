// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"go/build"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	_ "github.com/elastic/beats/v7/libbeat/cmd/instance" // links the processors
	"github.com/elastic/beats/v7/libbeat/common/transport/kerberos"
	"github.com/elastic/beats/v7/libbeat/dashboards"
	"github.com/elastic/beats/v7/libbeat/instrumentation"
	"github.com/elastic/beats/v7/libbeat/outputs/console"
	"github.com/elastic/beats/v7/libbeat/outputs/elasticsearch"
	"github.com/elastic/beats/v7/libbeat/outputs/logstash"
	"github.com/elastic/beats/v7/libbeat/pprof"
	"github.com/elastic/beats/v7/libbeat/processors"
	"github.com/elastic/elastic-agent-libs/api"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/keystore"
	"github.com/elastic/elastic-agent-libs/kibana"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/paths"
	"github.com/elastic/elastic-agent-libs/transport/tlscommon"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/config/settings"
	"github.com/reconbeat/reconbeat/internal/beattest"
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
queue: {mem.evnts: 5, mem.flush.timeout: soon, disk.enabled: false}
output.elasticsearch:
  hostss: [a]
  hosts: ["${RECONBEAT_TEST_SET}", "${RECONBEAT_TEST_HOST}"]
  ssl.certificate_autorities: [a]
  ssl.restart_on_cert_change.enabled: true
  queue.mem.event: 3
output.logstash: {enabled: false, hostss: [a], password: "${RECONBEAT_TEST_OFF}"}
output.kafak: {hosts: [a], enabled: false}
`))
	const notSet = " is not set; set the environment variable, or put it into the keystore: reconbeat keystore add "
	want := []string{
		"recombeat: no such setting; is reconbeat meant?",
		"loging: no such setting; is logging meant?",
		"logging.to_file: no such setting; known here are addcaller, ecs, event_data, ",
		"http.enabledd: no such setting; known here are buffer, enabled, host, ",
		"path.cnofig: no such setting; known here are config, data, home, logs",
		"setup.tempate: no such setting; known here are dashboards, dsl, ilm, kibana, template",
		"queue.mem.evnts: no such setting; known here are enabled, events, flush",
		`queue.mem.flush.timeout: "soon" is not allowed; it must be a duration`,
		"output.elasticsearch.hostss: no such setting; known here are allow_older_versions, api_key, ",
		"output.elasticsearch.hosts.1: ${RECONBEAT_TEST_HOST}" + notSet + "RECONBEAT_TEST_HOST",
		"output.elasticsearch.ssl.certificate_autorities: no such setting; known here are ",
		"output.elasticsearch.queue.mem.event: no such setting; known here are enabled, events, flush",
		"output.kafak: no such output; known outputs are console, discard, elasticsearch, file, kafka, logstash, redis",
	}
	for _, one := range want {
		require.ErrorContains(t, err, one)
	}
	require.Len(t, strings.Split(err.Error(), "\n"), len(want), "%v", err)
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
reconbeat.config: 9
timestamp.precision: day
keystore: 7
instrumentation.enabled: perhaps
setup.kibana: 7
monitoring: 7
logging: {level: loud, to_files: perhaps, metrics.period: nine, files: {keepfiles: 5000, rotateeverybytes: many}}
http: {port: nine, pprof.enabled: perhaps}
queue.mem: {events: 7, flush.min_events: many}
output.elasticsearch: {hosts: [a], bulk_max_size: x, loadbalance: perhaps, timeout: soon, compression_level: 12,
  backoff.max: x}
output.logstash: {hosts: [a], pipelining: -1, slow_start: perhaps}
output.kafka: {hosts: [a], topic: t, partition: x, required_acks: all}
output.redis: {hosts: [a], db: x}
output.file: {path: /tmp, permissions: rw, rotate_every_kb: x}
output.console.pretty: perhaps
`
	err := CheckFile(conf.MustNewConfigFrom(text))
	want := []string{
		"output: console, elasticsearch, file, kafka, logstash and redis are on; only one is allowed: " +
			"remove the others, or set `enabled: false` in them",
		`max_procs: "lots" is not allowed; it must be a whole number`,
		`name: a list is not allowed; it must be text`,
		`fields: "x" is not allowed; it must be a mapping of settings`,
		`processors: "x" is not allowed; it must be a list`,
		`path.data: a list is not allowed; it must be text`,
		`reconbeat.config: 9 is not allowed; it must be a mapping of settings`,
		`timestamp.precision: "day" is not allowed; it must be millisecond, microsecond or nanosecond`,
		`tags: a mapping is not allowed; it must be a list`,
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
	require.ErrorContains(t, start, want[1])
	require.NotContains(t, start.Error(), "output.")
}

// TestAValueInThePlaceOfASectionIsReported holds for those sections, too, that libbeat alone reads: it would end with a
// message of its own before anything else that is wrong was reported.
func TestAValueInThePlaceOfASectionIsReported(t *testing.T) {
	for text, want := range map[string]string{
		"reconbeat: 5":           "reconbeat: 5 is not allowed; it must be a mapping of settings",
		"reconbeat: [a]":         "reconbeat: a list is not allowed; it must be a mapping of settings",
		"reconbeat: {config: x}": `reconbeat.config: "x" is not allowed; it must be a mapping of settings`,
		"path: 5":                "path: 5 is not allowed; it must be a mapping of settings",
		"output: {console: 5}":   "output.console: 5 is not allowed; it must be a mapping of settings",
		"output: {file: [a]}":    "output.file: a list is not allowed; it must be a mapping of settings",
		"output: {console: }":    "",
		"queue: {mem: 5}":        "queue.mem: 5 is not allowed; it must be a mapping of settings",
		"output.console: {}":     "",
		"reconbeat: ":            "",
	} {
		for _, check := range []func(*conf.C) error{CheckStart, CheckFile} {
			err := check(conf.MustNewConfigFrom(text + "\nlogging.level: loud"))
			require.ErrorContains(t, err, "logging.level", text)
			require.ErrorContains(t, err, want, text)
			require.Equal(t, want != "", strings.Contains(err.Error(), "mapping"), "%s: %v", text, err)
		}
	}
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

// What belongs under `reconbeat:` is an error at the root, with the path that is right; what a variable refers to is
// not.
func TestOurSettingsAtTheRootAreMistakes(t *testing.T) {
	err := CheckFile(conf.MustNewConfigFrom(`
events: all
evnts: all
modules: [{module: auditd}]
detector: {learn_for: 1h, episode.idle: 5m, rules: [{id: a}]}
config.modules.path: x
heartbeat.period: 5s
dataset: acme
reconbeat.dataset: ${dataset}
`))
	require.EqualError(t, err, strings.Join([]string{
		"config.modules.path: no such setting at the root of the file; write reconbeat.config.modules.path",
		"detector.episode.idle: no such setting at the root of the file; write reconbeat.detector.episode.idle",
		"detector.learn_for: no such setting at the root of the file; write reconbeat.detector.learn_for",
		"detector.rules: no such setting at the root of the file; write reconbeat.detector.rules",
		"events: no such setting at the root of the file; write reconbeat.events",
		"evnts: no such setting; is reconbeat.events meant?",
		"heartbeat.period: no such setting at the root of the file; write reconbeat.heartbeat.period",
		"modules: no such setting at the root of the file; write reconbeat.modules",
	}, "\n"))
}

// A misspelt name is found however deep it stands.
func TestMisspeltNamesAreFoundAtAnyDepth(t *testing.T) {
	for text, want := range map[string]string{
		"setup.kibana.hots: x":                             "setup.kibana.hots",
		"setup.kibana.ssl.certificat: x":                   "setup.kibana.ssl.certificat",
		"setup.kibana.space.ids: x":                        "setup.kibana.space.ids",
		"setup.dashboards.retry.maximun: 3":                "setup.dashboards.retry.maximun",
		"setup.template.overwite: true":                    "setup.template.overwite",
		"setup.template.settings.indx.number_of_shards: 1": "setup.template.settings.indx",
		"setup.ilm.enabeld: false":                         "setup.ilm.enabeld",
		"setup.dsl.enabeld: false":                         "setup.dsl.enabeld",
		"logging.files.kepfiles: 3":                        "logging.files.kepfiles",
		"logging.event_data.files.nam: x":                  "logging.event_data.files.nam",
		"logging.event_data.path: /var/log":                "logging.event_data.path",
		"monitoring.enabeld: true":                         "monitoring.enabeld",
		"monitoring.elasticsearch.hots: [a]":               "monitoring.elasticsearch.hots",
		"monitoring.elasticsearch.metrics.peroid: 3s":      "monitoring.elasticsearch.metrics.peroid",
		"monitoring.cloud.i: x":                            "monitoring.cloud.i",
		"http.pprof.enbled: true":                          "http.pprof.enbled",
		"http.buffer.sice: 3":                              "http.buffer.sice",
		"cloud.ids: x":                                     "cloud.ids",
		"features.fqnd.enabled: true":                      "features.fqnd",
		"keystore.pth: x":                                  "keystore.pth",
		"migration.6_to_8.enabled: true":                   "migration.6_to_8",
		"instrumentation.profiling.cpu.intervall: 3s":      "instrumentation.profiling.cpu.intervall",
		"seccomp.sycalls: []":                              "seccomp.sycalls",
		"timestamp.precison: millisecond":                  "timestamp.precison",
		"output.elasticsearch: {hosts: [a], kerberos: {auth_type: keytab, keytab: c, username: d, config_path: a, " +
			"realm: b, reallm: x}}": "output.elasticsearch.kerberos.reallm",
		"output.elasticsearch: {hosts: [a], backoff.maxi: 1s}":     "output.elasticsearch.backoff.maxi",
		"output.elasticsearch: {hosts: [a], indices: [{indx: a}]}": "output.elasticsearch.indices.0.indx",
		"output.elasticsearch: {hosts: [a], indices: [{index: a, when.eqals: 1}]}": "" +
			"output.elasticsearch.indices.0.when.eqals",
		"output.elasticsearch: {hosts: [a], non_indexable_policy.drp: ~}": "" +
			"output.elasticsearch.non_indexable_policy.drp",
		"output.kafka: {hosts: [a], topic: t, metadata.retry.mx: 1}":        "output.kafka.metadata.retry.mx",
		"output.kafka: {hosts: [a], topic: t, partition.hash.reachable: 1}": "output.kafka.partition.hash.reachable",
		"output.kafka: {hosts: [a], topic: t, sasl.mechanisms: PLAIN}":      "output.kafka.sasl.mechanisms",
		"output.file: {path: /tmp, codec.json.prety: true}":                 "output.file.codec.json.prety",
		"processors: [{add_locale.fromat: offset}]":                         "processors.0.add_locale.fromat",
		"processors: [{add_host_metadata.cach.ttl: 5m}]":                    "processors.0.add_host_metadata.cach",
		"processors: [{drop_event.when.or: [{equals.a: 1}, {eqals.a: 1}]}]": "processors.0.drop_event.when.or.1.eqals",
		"processors: [{drop_event.when.not: {has_field: [a]}}]": "" +
			"processors.0.drop_event.when.not.has_field",
		"processors: [{if.equals.a: 1, then: [{drop_evnt: ~}], else: []}]": "processors.0.then.0.drop_evnt",
		"processors: [{if.equals.a: 1, than: [{drop_event: ~}]}]":          "processors.0.than",
		"processors: [{rename.fields: [{form: a, to: b}]}]":                "processors.0.rename.fields.0.form",
		"processors: [{add_locle: ~}]":                                     "processors.0.add_locle",
	} {
		t.Run(text, func(t *testing.T) {
			err := CheckFile(conf.MustNewConfigFrom(text))
			require.ErrorContains(t, err, want+": ")
			require.Len(t, strings.Split(err.Error(), "\n"), 1, "%v", err)
			require.Regexp(t, `no such (setting|processor); known`, err.Error())
		})
	}
}

// reconbeat makes its templates itself, and says where to write what another Beat has a setting for.
func TestSettingsOfOtherBeatsTemplatesAreRefused(t *testing.T) {
	err := CheckFile(conf.MustNewConfigFrom("reconbeat.dataset: acme\nsetup: {template: {name: mine, pattern: mine-*, " +
		"settings._source.enabled: true}, ilm.policy_name: mine, dsl.enabled: true}"))
	for _, path := range []string{"setup.template.name", "setup.template.pattern", "setup.template.settings._source",
		"setup.ilm.policy_name", "setup.dsl.enabled"} {
		require.ErrorContains(t, err, path+": reconbeat makes its templates itself and has no such setting; what is "+
			"to be different goes into the component template acme@custom")
	}
	require.Len(t, strings.Split(err.Error(), "\n"), 5, "%v", err)
}

// Values of a wrong type in processors and below are reported with the rest.
func TestValuesOfProcessorsAreChecked(t *testing.T) {
	err := CheckFile(conf.MustNewConfigFrom(`
processors:
- add_host_metadata: {cache.ttl: soon, netinfo.enabled: perhaps}
- {add_locale: ~, drop_event: ~}
- dns: {type: reverse, timeout: x, fields: {a: b}}
- drop_event.when.equals: 7
output.console.codec: {json: {pretty: perhaps}, format.string: x}
`))
	require.EqualError(t, err, strings.Join([]string{
		"output.console.codec.json.pretty: \"perhaps\" is not allowed; it must be true or false",
		"output.console.codec: format and json are on; only one is allowed: remove the others, or set " +
			"`enabled: false` in them",
		"processors.0.add_host_metadata.cache.ttl: \"soon\" is not allowed; it must be a duration such as 90s, 15m " +
			"or 24h",
		"processors.0.add_host_metadata.netinfo.enabled: \"perhaps\" is not allowed; it must be true or false",
		"processors.1: add_locale and drop_event are in one element of the list; each processor is an element of its own",
		"processors.2.dns.timeout: \"x\" is not allowed; it must be a duration such as 90s, 15m or 24h",
		"processors.3.drop_event.when.equals: 7 is not allowed: wrong type, expect map",
	}, "\n"))
}

// What libbeat refuses of processors and of their conditions one by one, and what it passes over, is reported at once.
func TestProcessorsAndConditionsAreTried(t *testing.T) {
	err := CheckFile(conf.MustNewConfigFrom(`
processors:
- drop_event.when.regexp.a: "("
- drop_event.when: {or: [{equals.a: 1.5}, {not.network.ip: foo}, {range: {a.gte: many, b: 3}}]}
- drop_event.when: {equals.a: 1, regexp.b: c}
- drop_event.when.and: [{}]
- {if.contains.a: 3, then: [{add_locale.format: foo}], else: [{convert.fields: [{from: a, to: b, type: nonsense}]}]}
- script.lang: js
- rename: {when.has_fields: [a], fields: [{from: a, to: b}]}
`))
	require.EqualError(t, err, strings.Join([]string{
		"processors.0.drop_event.when.regexp.a: \"(\" is not allowed; it must be a regular expression (error parsing " +
			"regexp: missing closing ): `(`)",
		"processors.1.drop_event.when.or.0.equals.a: 1.5 is not allowed; it must be text, a whole number of 0 or more, or " +
			"true or false (condition attempted to set 'a' -> '1.5' and encountered unexpected type 'float64', only strings, " +
			"ints, and booleans are allowed)",
		"processors.1.drop_event.when.or.1.not.network.ip: \"foo\" is not allowed; it must be an IP range, or one of " +
			"private, public, loopback, unicast and the other names of networks that the documentation has (failed to parse " +
			"CIDR, values must be an IP address and prefix length, like '192.0.2.0/24' or '2001:db8::/32', as defined in RFC " +
			"4632 and RFC 4291: invalid CIDR address: foo)",
		"processors.1.drop_event.when.or.2.range.a.gte: \"many\" is not allowed; it must be a number, under FIELD.gt, " +
			"FIELD.gte, FIELD.lt or FIELD.lte (strconv.ParseFloat: parsing \"many\": invalid syntax)",
		"processors.1.drop_event.when.or.2.range.b: 3 is not allowed; it must be a number, under FIELD.gt, FIELD.gte, " +
			"FIELD.lt or FIELD.lte (unexpected range operator b)",
		"processors.2.drop_event.when: equals and regexp stand side by side, and only one of them would count; put them " +
			"into a list under `and` or `or`",
		"processors.3.drop_event.when.and.0: is missing; it must be a condition, such as equals or regexp",
		"processors.4.else.0.convert: fail to unpack the convert processor configuration: invalid data type: nonsense " +
			"accessing 'convert.fields.0.type'",
		"processors.4.if.contains.a: 3 is not allowed; it must be text (unexpected type uint64 of 3)",
		"processors.4.then.0.add_locale: 'foo' is not a valid format option for the add_locale processor. Valid options " +
			"are 'abbreviation' and 'offset'.",
		"processors.5.script: javascript must be defined via 'file', 'files', or inline as 'source' accessing 'script'",
	}, "\n"))
}

// What libbeat's outputs refuse one by one, once all else is right, is reported at once: the path, the value and what
// is allowed.
func TestValuesOfOutputsAreChecked(t *testing.T) {
	const aValue = "text in which %{[FIELD]} stands for a value of the document (missing closing '}')"
	for text, want := range map[string][]string{
		`redis: {hosts: ["http://a", b:6379, "rediss://c"], datatype: set, db: -1, key: "%{[a", proxy_url: "http://p", ` +
			`keys: [{key: "%{[a"}], codec.format.string: "%{[a"}`: {
			`output.redis.codec.format.string: "%{[a" is not allowed; it must be ` + aValue,
			`output.redis.datatype: "set" is not allowed; it must be list or channel`,
			`output.redis.db: -1 is not allowed; it must be >= 0`,
			`output.redis.hosts.0: "http://a" is not allowed; it must be HOST:PORT, redis://HOST:PORT or ` +
				`rediss://HOST:PORT (its scheme is "http", and its host "a")`,
			`output.redis.key: "%{[a" is not allowed; it must be ` + aValue,
			`output.redis.keys.0.key: "%{[a" is not allowed; it must be ` + aValue,
			`output.redis.proxy_url: "http://p" is not allowed; it must be socks5://HOST:PORT (proxy: unknown scheme: http)`,
		},
		`redis.db: 1`: {"output.redis.hosts: is missing; it must be a list of hosts, each HOST:PORT, " +
			"redis://HOST:PORT or rediss://HOST:PORT"},
		`kafka: {compression: brotli, version: two, required_acks: -2, sasl.mechanism: foo, username: u}`: {
			`output.kafka.compression: "brotli" is not allowed; it must be gzip, lz4, no, none, off, snappy or zstd`,
			`output.kafka.hosts: is missing; it must be a list of hosts, each HOST:PORT`,
			`output.kafka.password: is missing; it must be that of username`,
			`output.kafka.required_acks: -2 is not allowed; it must be >= -1`,
			`output.kafka.sasl.mechanism: "FOO" is not allowed; it must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512`,
			`output.kafka.topic: is missing; it must be the name of a topic, or have topics beside it`,
			`output.kafka.version: "two" is not allowed; it must be a version of Kafka's protocol such as 2.1.0`,
		},
		`kafka: {hosts: [a], topics: [{topic: "%{[a"}], compression_level: 12}`: {
			`output.kafka.compression_level: 12 is not allowed; it must be 0 to 9`,
			`output.kafka.topics.0.topic: "%{[a" is not allowed; it must be ` + aValue,
		},
		`logstash: {ttl: -1s, max_retries: -7, pipelining: -1, proxy_url: "://"}`: {
			`output.logstash.hosts: is missing; it must be a list of hosts, each HOST:PORT`,
			`output.logstash.max_retries: -7 is not allowed; it must be -1, for no end of them, or more`,
			`output.logstash.pipelining: -1 is not allowed; it must be >= 0`,
			`output.logstash.proxy_url: "://" is not allowed; it must be socks5://HOST:PORT (parse "://": missing ` +
				`protocol scheme)`,
			`output.logstash.ttl: -1s is not allowed; it must be 0s or more`,
		},
		`file: {number_of_files: 1, rotate_every_kb: 0, permissions: 99999}`: {
			`output.file.number_of_files: 1 is not allowed; it must be >= 2`,
			`output.file.path: is missing; it must be a folder`,
			`output.file.permissions: "0303237" is not allowed; it must be octal and at most 0777`,
			`output.file.rotate_every_kb: 0 is not allowed; it must be >= 1`,
		},
		`elasticsearch: {hosts: ["http://a:b:c", d], api_key: k, username: u, preset: fast, protocol: gopher, ` +
			`index: "%{[a", pipelines: [{pipeline: "%{[a"}]}`: {
			`output.elasticsearch.hosts.0: "http://a:b:c" is not allowed; it must be a URL or HOST:PORT (parse ` +
				`"http://a:b:c": invalid port ":b:c" after host)`,
			`output.elasticsearch.index: "%{[a" is not allowed; it must be ` + aValue,
			`output.elasticsearch.pipelines.0.pipeline: "%{[a" is not allowed; it must be ` + aValue,
			`output.elasticsearch.preset: "fast" is not allowed; it must be balanced, custom, latency, scale or throughput`,
			`output.elasticsearch.protocol: "gopher" is not allowed; it must be http or https`,
			`output.elasticsearch: api_key stands beside username or password; only one way to log in is allowed`,
		},
	} {
		t.Run(text, func(t *testing.T) {
			err := CheckFile(conf.MustNewConfigFrom("output." + text))
			require.Error(t, err)
			require.Equal(t, want, strings.Split(err.Error(), "\n"))
		})
	}
	require.NoError(t, CheckFile(conf.MustNewConfigFrom("cloud.id: x\noutput.elasticsearch.username: u")),
		"cloud.id names the hosts")
}

// A setting that libbeat documents is known: each line of the reference configuration, taken out of its comment.
func TestTheReferenceConfigurationHasNoUnknownNames(t *testing.T) {
	text, err := os.ReadFile("../reconbeat.reference.yml")
	require.NoError(t, err)
	pieces := beattest.Uncommented(regexp.MustCompile(`\$\{path\.\w+\}`).ReplaceAllString(string(text), "/"))
	require.Greater(t, len(pieces), 300)
	// Of settings that go together, one alone is not enough.
	pairs := regexp.MustCompile(`is missing|missing (fields|required|option|or invalid)|not configured$`)
	for _, piece := range pieces {
		c, err := conf.NewConfigFrom(piece)
		require.NoError(t, err, piece)
		if err := CheckFile(c); err != nil {
			require.Regexp(t, pairs, err.Error(), piece)
			require.NotContains(t, err.Error(), "no such", piece)
		}
	}
}

// Every name that libbeat's own structs have is known: of those that are exported, by reflection; of the others, by the
// tags in their source.
func TestEverySettingOfLibbeatIsKnown(t *testing.T) {
	for path, of := range map[string]any{
		"path": paths.Path{}, "logging": logp.Config{}, "logging.event_data": logp.Config{}, "http": api.Config{},
		"http.pprof": pprof.Config{}, "setup.dashboards": dashboards.Config{}, "setup.kibana": kibana.ClientConfig{},
		"instrumentation": instrumentation.Config{}, "keystore": keystore.Config{},
		"monitoring.elasticsearch": elasticsearch.ElasticsearchConfig{},
		"output.elasticsearch":     elasticsearch.ElasticsearchConfig{}, "output.logstash": logstash.Config{},
		"output.console": console.Config{}, "output.elasticsearch.ssl": tlscommon.Config{},
		"output.kafka.kerberos": kerberos.Config{},
	} {
		for name := range settings.Fields(of) {
			requireKnown(t, path+"."+name)
		}
	}
	for path, folder := range map[string]string{
		"output.kafka": "outputs/kafka", "output.redis": "outputs/redis", "output.file": "outputs/fileout",
		"queue.mem": "publisher/queue/memqueue", "queue.disk": "publisher/queue/diskqueue",
		"monitoring.elasticsearch": "monitoring/report/elasticsearch",
	} {
		for _, name := range tagsIn(t, folder, "config.go") {
			if path != "output.kafka" || !slices.Contains([]string{"retry", "refresh_frequency", "full", "max", "init",
				"value", "backoff"}, name) {
				requireKnown(t, path+"."+name)
			}
		}
	}
}

// requireKnown holds that a name is not a mistake; what its value may be is another matter.
func requireKnown(t *testing.T, path string) {
	t.Helper()
	c := conf.NewConfig()
	require.NoError(t, c.SetString(path, -1, "x"), path)
	if err := CheckFile(c); err != nil {
		require.NotContains(t, err.Error(), "no such", path)
	}
}

// libbeat is the folder of libbeat's source.
var libbeat = sync.OnceValue(func() string {
	pkg, err := build.Import("github.com/elastic/beats/v7/libbeat/beat", ".", build.FindOnly)
	if err != nil {
		panic(err)
	}
	return filepath.Dir(pkg.Dir)
})

var tag = regexp.MustCompile("`config:\"([\\w.]+)[\",]")

// tagsIn are the names in the tags of a folder's source, or of one file in it.
func tagsIn(t *testing.T, folder, file string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(libbeat(), folder, file))
	require.NoError(t, err)
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		for _, m := range tag.FindAllStringSubmatch(string(text), -1) {
			names = append(names, m[1])
		}
	}
	require.NotEmpty(t, names, folder)
	return names
}

// Every processor that is linked is known, and every name in the source of each.
func TestEveryProcessorOfLibbeatIsKnown(t *testing.T) {
	_, err := processors.New(processors.PluginConfig{conf.MustNewConfigFrom("none: ~")}, logp.NewNopLogger())
	require.Error(t, err)
	_, valid, found := strings.Cut(err.Error(), "Valid actions: ")
	require.True(t, found, "%v", err)
	require.ElementsMatch(t, strings.Split(valid, ", "), slices.Collect(maps.Keys(processorSettings)))

	elsewhere := map[string]string{
		"community_id": "communityid", "rate_limit": "ratelimit", "script": "script/javascript",
	}
	for name := range processorSettings {
		folder := "processors/" + cmp.Or(elsewhere[name], name)
		file := "*.go"
		if _, err := os.Stat(filepath.Join(libbeat(), folder)); err != nil {
			folder, file = "processors/actions", name+".go"
		}
		if slices.Contains([]string{"lowercase", "uppercase"}, name) {
			file = "alterFieldProcessor.go"
		}
		if name == "add_fields" {
			folder, file = "processors/actions/addfields", "*.go"
		}
		if name == "drop_event" {
			continue // it has none
		}
		if name == "add_kubernetes_metadata" {
			file = "config.go"
		}
		known := namesBelow(reflect.TypeOf(processorSettings[name]))
		for _, one := range tagsIn(t, folder, file) {
			for part := range strings.SplitSeq(one, ".") {
				// Of logs_path's matcher, which Filebeat has.
				assert.True(t, known[part] || part == "logs_path" || part == "resource_type", "%s of processor %s",
					part, name)
			}
		}
	}
}

// namesBelow are the names in a struct and in those within it.
func namesBelow(t reflect.Type) map[string]bool {
	names := map[string]bool{}
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[conf.C]() {
		return names
	}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("config"), ",")
		for part := range strings.SplitSeq(name, ".") {
			names[part] = true
		}
		maps.Copy(names, namesBelow(t.Field(i).Type))
	}
	return names
}

// The queue on disk is checked by libbeat's own rules, at which it would end when the Beat starts.
func TestTheQueueOnDisk(t *testing.T) {
	const size, interval = "it must be a size such as 512MiB or 10GB", "it must be a duration such as 90s, 15m or 24h"
	for text, want := range map[string]string{
		"{max_size: 10GB, segment_size: 100MiB}": "",
		"{max_size: 12000000}":                   "",
		"{path: /x}":                             ".max_size: is missing",
		"{max_size: {a: 1}}":                     ".max_size: a mapping is not allowed; " + size,
		"{max_size: [10GB, 1]}":                  ".max_size: a list is not allowed; " + size,
		"{max_size: big}":                        `.max_size: "big" is not allowed; ` + size,
		"{max_size: 1MB}":                        ": disk queue max_size (1000000) cannot be less than 10MB",
		"{max_size: 10GB, segment_size: 9GB}":    ": disk queue max_size must be at least twice as big as segment_size",
		"{max_size: 10GB, retry_interval: soon}": `.retry_interval: "soon" is not allowed; ` + interval,
	} {
		for _, key := range []string{"queue.disk", "output.console.queue.disk"} {
			err := CheckFile(conf.MustNewConfigFrom(key + ": " + text))
			if want == "" {
				require.NoError(t, err, text)
				continue
			}
			require.ErrorContains(t, err, key+want, text)
		}
	}
}
