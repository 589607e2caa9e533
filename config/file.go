// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/transport/tlscommon"

	"github.com/reconbeat/reconbeat/config/settings"
)

// The file beside `reconbeat:` is libbeat's, which ignores unknown names. These are the names that it knows, as far
// down as a mistake costs documents.
type (
	queueNames struct {
		Mem struct {
			Events int `config:"events"`
			Flush  struct {
				MinEvents int           `config:"min_events"`
				Timeout   time.Duration `config:"timeout"`
			} `config:"flush"`
		} `config:"mem"`
		Disk struct {
			Path             string        `config:"path"`
			MaxSize          any           `config:"max_size"`
			SegmentSize      any           `config:"segment_size"`
			ReadAhead        int           `config:"read_ahead"`
			WriteAhead       int           `config:"write_ahead"`
			RetryInterval    time.Duration `config:"retry_interval"`
			MaxRetryInterval time.Duration `config:"max_retry_interval"`
		} `config:"disk"`
	}
	tlsNames struct {
		tlscommon.Config `config:",inline"`
		Restart          struct {
			Enabled any `config:"enabled"`
			Period  any `config:"period"`
		} `config:"restart_on_cert_change"`
	}
	pathNames    struct{ Home, Config, Data, Logs any }
	loggingNames struct {
		Level     any `config:"level"`
		Selectors any `config:"selectors"`
		Stderr    any `config:"to_stderr"`
		Syslog    any `config:"to_syslog"`
		ToFiles   any `config:"to_files"`
		EventLog  any `config:"to_eventlog"`
		JSON      any `config:"json"` // gone from libbeat, harmless, and in many a file
		ECS       any `config:"ecs"`
		Files     any `config:"files"`
		Metrics   struct {
			Enabled    any `config:"enabled"`
			Period     any `config:"period"`
			Namespaces any `config:"namespaces"`
		} `config:"metrics"`
		EventData  any `config:"event_data"`
		WithFields any `config:"with_fields"`
	}
	setupNames struct{ Dashboards, DSL, ILM, Kibana, Template any }
	httpNames  struct{ Enabled, Host, Port, Timeout, Named_pipe, Pprof, Buffer any }
)

// ofEveryOutput are the settings that an output may have, whichever it is.
var ofEveryOutput = []string{"enabled", "queue"}

// ofOutput are the settings that each output may have beside those.
var ofOutput = map[string][]string{
	"elasticsearch": {
		"allow_older_versions", "api_key", "backoff", "bulk_max_size", "compression_level", "escape_html", "headers",
		"hosts", "idle_connection_timeout", "index", "indices", "kerberos", "loadbalance", "max_retries",
		"non_indexable_policy", "parameters", "password", "path", "pipeline", "pipelines", "preset", "protocol",
		"proxy_disable", "proxy_headers", "proxy_url", "ssl", "timeout", "username", "worker", "workers",
	},
	"logstash": {
		"backoff", "bulk_max_size", "compression_level", "escape_html", "hosts", "index", "loadbalance", "max_retries",
		"pipelining", "proxy_url", "proxy_use_local_resolver", "slow_start", "ssl", "timeout", "ttl", "worker",
		"workers",
	},
	"kafka": {
		"backoff", "broker_timeout", "bulk_flush_frequency", "bulk_max_size", "channel_buffer_size", "client_id",
		"codec", "compression", "compression_level", "enable_krb5_fast", "headers", "hosts", "keep_alive", "kerberos",
		"key", "max_message_bytes", "max_retries", "metadata", "partition", "password", "required_acks", "sasl", "ssl",
		"timeout", "topic", "topics", "username", "version", "worker", "workers",
	},
	"redis": {
		"backoff", "bulk_max_size", "codec", "datatype", "db", "hosts", "index", "key", "keys", "loadbalance",
		"max_retries", "password", "proxy_url", "proxy_use_local_resolver", "ssl", "timeout", "username", "worker",
		"workers",
	},
	"file":     {"codec", "filename", "number_of_files", "path", "permissions", "rotate_every_kb", "rotate_on_startup"},
	"console":  {"batchsize", "codec", "pretty"},
	"discard":  {},
	"terminal": {"format"}, // what `watch` shows its alerts with
}

// topLevel are the names that a file may have. A user may add others for ${...} to refer to: one is a mistake only when
// it resembles one of these.
var topLevel = []string{
	"cloud", "features", "fields", "fields_under_root", "gc_percent", "http", "instrumentation", "keystore", "logging",
	"management", "max_procs", "migration", "monitoring", "name", "output", "path", "processors", "queue", "reconbeat",
	"seccomp", "setup", "tags", "timestamp",
}

// readElsewhere are the sections that a running Beat may never read, whose variables may be set for `setup` only; and
// ours, which Parse reads.
var readElsewhere = []string{"cloud", "instrumentation", "monitoring", "reconbeat", "setup"}

// CheckFile returns what is wrong with a whole configuration file but for the section `reconbeat`: unknown names, and
// variables that are not set.
func CheckFile(root *conf.C) error {
	var errs []error
	for _, name := range slices.Sorted(slices.Values(root.GetFields())) {
		if meant := misspelt(name, topLevel); meant != "" {
			errs = append(errs, fmt.Errorf("%s: no such setting; is %s meant?", name, meant))
			continue
		}
		section, err := root.Child(name, -1)
		switch {
		case name == "output" && err == nil:
			errs = append(errs, checkOutputs(section))
		case name == "queue" && err == nil:
			errs = append(errs, checkQueue("queue", section))
		case err == nil:
			if !slices.Contains(readElsewhere, name) {
				var all map[string]any
				errs = append(errs, settings.Read(name, section, &all))
			}
			if known := sections[name]; known != nil {
				errs = append(errs, settings.Unknown(name, section, known))
			}
		}
	}
	return errors.Join(errs...)
}

// sections are the names that libbeat's other sections may have.
var sections = map[string]any{
	"path": pathNames{}, "logging": loggingNames{}, "http": httpNames{}, "setup": setupNames{},
}

// checkOutputs checks the outputs that are on.
func checkOutputs(all *conf.C) error {
	var errs []error
	for _, name := range slices.Sorted(slices.Values(all.GetFields())) {
		path := "output." + name
		known, ok := ofOutput[name]
		if !ok {
			errs = append(errs,
				fmt.Errorf("%s: no such output; known outputs are %s", path, strings.Join(outputNames(), ", ")))
			continue
		}
		output, err := all.Child(name, -1)
		if err != nil || !output.Enabled() {
			continue
		}
		var values map[string]any
		errs = append(errs,
			settings.Read(path, output, &struct{ Enabled bool }{}), settings.Read(path, output, &values))
		known = slices.Sorted(slices.Values(slices.Concat(known, ofEveryOutput)))
		for _, setting := range slices.Sorted(slices.Values(output.GetFields())) {
			if !slices.Contains(known, setting) {
				errs = append(errs, fmt.Errorf("%s.%s: no such setting; known here are %s",
					path, setting, strings.Join(known, ", ")))
			}
		}
		if queue, err := output.Child("queue", -1); err == nil {
			errs = append(errs, checkQueue(path+".queue", queue))
		}
		if ssl, err := output.Child("ssl", -1); err == nil && slices.Contains(known, "ssl") {
			errs = append(errs, settings.Unknown(path+".ssl", ssl, tlsNames{}))
		}
	}
	return errors.Join(errs...)
}

func checkQueue(path string, c *conf.C) error {
	return errors.Join(settings.Read(path, c, &queueNames{}), settings.Unknown(path, c, queueNames{}))
}

func outputNames() []string {
	var names []string
	for name := range ofOutput {
		if name != "terminal" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// misspelt returns the known name from which a name is one or two letters off; empty where it is known, or like none.
func misspelt(name string, known []string) string {
	if slices.Contains(known, name) {
		return ""
	}
	for _, k := range known {
		if most := min(2, len(k)/3); distance(name, k) <= most {
			return k
		}
	}
	return ""
}

// distance is how many letters must be inserted, deleted or changed to turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, before+1, row[j]+1)
		}
	}
	return row[len(b)]
}
