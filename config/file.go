// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/transport/tlscommon"

	"github.com/reconbeat/reconbeat/config/settings"
)

// logLevel is how much the log says.
type logLevel string

// Allowed says what a level may be.
func (logLevel) Allowed() string { return "debug, info, warning, error or critical" }

// Unpack reads a level as libbeat does.
func (l *logLevel) Unpack(text string) error {
	var level logp.Level
	*l = logLevel(text)
	return level.Unpack(text)
}

// The file beside `reconbeat:` is libbeat's, which ignores unknown names, and ends at the first value of a wrong type.
// These are the names that it knows, and the types of their values, as far down as a mistake costs documents or keeps
// the Beat from starting. What is `any` is read by libbeat alone.
type (
	queueSettings struct {
		Mem struct {
			Events int `config:"events" validate:"min=32"`
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
	pathSettings    struct{ Home, Config, Data, Logs string }
	loggingSettings struct {
		Level     logLevel        `config:"level"`
		Selectors []string        `config:"selectors"`
		Stderr    bool            `config:"to_stderr"`
		Syslog    bool            `config:"to_syslog"`
		ToFiles   bool            `config:"to_files"`
		EventLog  bool            `config:"to_eventlog"`
		JSON      any             `config:"json"` // gone from libbeat, harmless, and in many a file
		ECS       any             `config:"ecs"`
		Files     logp.FileConfig `config:"files"`
		Metrics   struct {
			Enabled    bool          `config:"enabled"`
			Period     time.Duration `config:"period"`
			Namespaces []string      `config:"namespaces"`
		} `config:"metrics"`
		EventData  *conf.C        `config:"event_data"`
		WithFields map[string]any `config:"with_fields"`
	}
	setupSettings struct {
		Dashboards *conf.C `config:"dashboards"`
		DSL        *conf.C `config:"dsl"`
		ILM        *conf.C `config:"ilm"`
		Kibana     *conf.C `config:"kibana"`
		Template   *conf.C `config:"template"`
	}
	httpSettings struct {
		Enabled   bool          `config:"enabled"`
		Host      string        `config:"host"`
		Port      int           `config:"port" validate:"min=0, max=65535"`
		Timeout   time.Duration `config:"timeout"`
		NamedPipe struct {
			User               string `config:"user"`
			SecurityDescriptor string `config:"security_descriptor"`
		} `config:"named_pipe"`
		Pprof struct {
			Enabled          bool `config:"enabled"`
			BlockProfileRate int  `config:"block_profile_rate"`
			MemProfileRate   int  `config:"mem_profile_rate"`
			MutexProfileRate int  `config:"mutex_profile_rate"`
		} `config:"pprof"`
		Buffer struct {
			Enabled bool `config:"enabled"`
		} `config:"buffer"`
	}
	// file is all of it; what is a *conf.C must be a mapping.
	file struct {
		Name            string          `config:"name"`
		MaxProcs        int             `config:"max_procs"`
		GCPercent       int             `config:"gc_percent"`
		Tags            []string        `config:"tags"`
		Fields          map[string]any  `config:"fields"`
		FieldsUnderRoot bool            `config:"fields_under_root"`
		Processors      []*conf.C       `config:"processors"`
		Path            pathSettings    `config:"path"`
		Logging         loggingSettings `config:"logging"`
		HTTP            httpSettings    `config:"http"`
		Setup           setupSettings   `config:"setup"`
		Timestamp       struct {
			Precision precision `config:"precision"`
		} `config:"timestamp"`
		Cloud           *conf.C `config:"cloud"`
		Features        *conf.C `config:"features"`
		Instrumentation struct {
			Enabled bool `config:"enabled"`
		} `config:"instrumentation"`
		Keystore   *conf.C `config:"keystore"`
		Management *conf.C `config:"management"`
		Migration  *conf.C `config:"migration"`
		Monitoring *conf.C `config:"monitoring"`
		Output     *conf.C `config:"output"`
		Queue      *conf.C `config:"queue"`
		Seccomp    *conf.C `config:"seccomp"`
	}
)

// precision is of the documents' times.
type precision string

// Allowed says what a precision may be.
func (precision) Allowed() string { return "millisecond, microsecond or nanosecond" }

// Unpack reads a precision.
func (p *precision) Unpack(text string) error {
	if *p = precision(text); !slices.Contains([]string{"millisecond", "microsecond", "nanosecond"}, text) {
		return errors.New("no such precision")
	}
	return nil
}

// newFile has libbeat's defaults where a bound needs one.
func newFile() *file {
	return &file{Logging: loggingSettings{Files: logp.DefaultConfig(logp.DefaultEnvironment).Files}}
}

// The settings of each output. What is `any` is read by the output alone.
type (
	backoffSettings struct {
		Init time.Duration `config:"init"`
		Max  time.Duration `config:"max"`
	}
	// ofEveryOutput are the settings that every output may have.
	ofEveryOutput struct {
		Enabled bool `config:"enabled"`
		Queue   any  `config:"queue"`
	}
	// ofNetwork are the settings of outputs that send to hosts.
	ofNetwork struct {
		Backoff     backoffSettings `config:"backoff"`
		BulkMaxSize int             `config:"bulk_max_size"`
		Hosts       []string        `config:"hosts"`
		MaxRetries  int             `config:"max_retries"`
		SSL         any             `config:"ssl"`
		Timeout     time.Duration   `config:"timeout"`
		Worker      int             `config:"worker"`
		Workers     int             `config:"workers"`
	}
	elasticsearchSettings struct {
		Common                ofEveryOutput  `config:",inline"`
		Network               ofNetwork      `config:",inline"`
		AllowOlderVersions    bool           `config:"allow_older_versions"`
		APIKey                string         `config:"api_key"`
		CompressionLevel      int            `config:"compression_level" validate:"min=0, max=9"`
		EscapeHTML            bool           `config:"escape_html"`
		Headers               map[string]any `config:"headers"`
		IdleConnectionTimeout time.Duration  `config:"idle_connection_timeout"`
		Index                 string         `config:"index"`
		Indices               any            `config:"indices"`
		Kerberos              any            `config:"kerberos"`
		Loadbalance           bool           `config:"loadbalance"`
		NonIndexablePolicy    any            `config:"non_indexable_policy"`
		Parameters            map[string]any `config:"parameters"`
		Password              string         `config:"password"`
		Path                  string         `config:"path"`
		Pipeline              string         `config:"pipeline"`
		Pipelines             any            `config:"pipelines"`
		Preset                string         `config:"preset"`
		Protocol              string         `config:"protocol"`
		ProxyDisable          bool           `config:"proxy_disable"`
		ProxyHeaders          map[string]any `config:"proxy_headers"`
		ProxyURL              string         `config:"proxy_url"`
		Username              string         `config:"username"`
	}
	logstashSettings struct {
		Common                ofEveryOutput `config:",inline"`
		Network               ofNetwork     `config:",inline"`
		CompressionLevel      int           `config:"compression_level" validate:"min=0, max=9"`
		EscapeHTML            bool          `config:"escape_html"`
		Index                 string        `config:"index"`
		Loadbalance           bool          `config:"loadbalance"`
		Pipelining            int           `config:"pipelining" validate:"min=0"`
		ProxyURL              string        `config:"proxy_url"`
		ProxyUseLocalResolver bool          `config:"proxy_use_local_resolver"`
		SlowStart             bool          `config:"slow_start"`
		TTL                   time.Duration `config:"ttl"`
	}
	kafkaSettings struct {
		Common             ofEveryOutput `config:",inline"`
		Network            ofNetwork     `config:",inline"`
		BrokerTimeout      time.Duration `config:"broker_timeout"`
		BulkFlushFrequency time.Duration `config:"bulk_flush_frequency"`
		ChannelBufferSize  int           `config:"channel_buffer_size"`
		ClientID           string        `config:"client_id"`
		Codec              any           `config:"codec"`
		Compression        string        `config:"compression"`
		CompressionLevel   int           `config:"compression_level"`
		EnableKrb5Fast     bool          `config:"enable_krb5_fast"`
		Headers            any           `config:"headers"`
		KeepAlive          time.Duration `config:"keep_alive"`
		Kerberos           any           `config:"kerberos"`
		Key                string        `config:"key"`
		MaxMessageBytes    int           `config:"max_message_bytes"`
		Metadata           any           `config:"metadata"`
		Partition          *conf.C       `config:"partition"`
		Password           string        `config:"password"`
		RequiredAcks       int           `config:"required_acks"`
		SASL               any           `config:"sasl"`
		Topic              string        `config:"topic"`
		Topics             any           `config:"topics"`
		Username           string        `config:"username"`
		Version            string        `config:"version"`
	}
	redisSettings struct {
		Common                ofEveryOutput `config:",inline"`
		Network               ofNetwork     `config:",inline"`
		Codec                 any           `config:"codec"`
		Datatype              string        `config:"datatype"`
		DB                    int           `config:"db"`
		Index                 string        `config:"index"`
		Key                   string        `config:"key"`
		Keys                  any           `config:"keys"`
		Loadbalance           bool          `config:"loadbalance"`
		Password              string        `config:"password"`
		ProxyURL              string        `config:"proxy_url"`
		ProxyUseLocalResolver bool          `config:"proxy_use_local_resolver"`
		Username              string        `config:"username"`
	}
	fileSettings struct {
		Common          ofEveryOutput `config:",inline"`
		Codec           any           `config:"codec"`
		Filename        string        `config:"filename"`
		NumberOfFiles   uint          `config:"number_of_files"`
		Path            string        `config:"path"`
		Permissions     uint32        `config:"permissions"`
		RotateEveryKB   uint          `config:"rotate_every_kb"`
		RotateOnStartup bool          `config:"rotate_on_startup"`
	}
	consoleSettings struct {
		Common    ofEveryOutput `config:",inline"`
		BatchSize int           `config:"batchsize"`
		Codec     any           `config:"codec"`
		Pretty    bool          `config:"pretty"`
	}
	discardSettings struct {
		Common ofEveryOutput `config:",inline"`
	}
	// terminalSettings are of what `watch` shows its alerts with.
	terminalSettings struct {
		Common ofEveryOutput `config:",inline"`
		Format string        `config:"format"`
	}
)

// newOutput makes the settings of each output.
var newOutput = map[string]func() any{
	"elasticsearch": func() any { return &elasticsearchSettings{} },
	"logstash":      func() any { return &logstashSettings{} },
	"kafka":         func() any { return &kafkaSettings{} },
	"redis":         func() any { return &redisSettings{} },
	"file":          func() any { return &fileSettings{} },
	"console":       func() any { return &consoleSettings{} },
	"discard":       func() any { return &discardSettings{} },
	"terminal":      func() any { return &terminalSettings{} },
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

// CheckStart returns the values at which libbeat ends before anybody else may check: those of a wrong type that it
// reads first. A variable may stand for any of them. After an error root is good only for finding more mistakes.
func CheckStart(root *conf.C) error {
	return settings.WithoutUnset(settings.Read("", root, newFile()))
}

// CheckFile returns what is wrong with a whole configuration file but for the section `reconbeat`: unknown names,
// values of a wrong type, and variables that are not set. After an error root is good only for finding more mistakes.
func CheckFile(root *conf.C) error {
	errs := []error{settings.Read("", root, newFile())}
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
	"path": pathSettings{}, "logging": loggingSettings{}, "http": httpSettings{}, "setup": setupSettings{},
}

// checkOutputs checks the outputs that are on.
func checkOutputs(all *conf.C) error {
	var errs []error
	for _, name := range slices.Sorted(slices.Values(all.GetFields())) {
		path := "output." + name
		known, ok := newOutput[name]
		if !ok {
			errs = append(errs,
				fmt.Errorf("%s: no such output; known outputs are %s", path, strings.Join(outputNames(), ", ")))
			continue
		}
		output, err := all.Child(name, -1)
		if err != nil || !output.Enabled() {
			continue
		}
		into := known()
		var values map[string]any
		errs = append(errs, settings.Read(path, output, into), settings.Read(path, output, &values),
			settings.Unknown(path, output, into))
		if queue, err := output.Child("queue", -1); err == nil {
			errs = append(errs, checkQueue(path+".queue", queue))
		}
		if ssl, err := output.Child("ssl", -1); err == nil && output.HasField("ssl") {
			errs = append(errs, settings.Unknown(path+".ssl", ssl, tlsNames{}))
		}
	}
	return errors.Join(errs...)
}

func checkQueue(path string, c *conf.C) error {
	var q queueSettings
	q.Mem.Events = leastEvents
	return errors.Join(settings.Read(path, c, &q), settings.Unknown(path, c, q))
}

// leastEvents is how many events libbeat's queue must have room for.
const leastEvents = 32

func outputNames() []string {
	var names []string
	for name := range newOutput {
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
