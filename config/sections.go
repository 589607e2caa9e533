// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/elastic/beats/v7/libbeat/dashboards"
	"github.com/elastic/beats/v7/libbeat/instrumentation"
	"github.com/elastic/beats/v7/libbeat/pprof"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/transport/tlscommon"

	"github.com/reconbeat/reconbeat/config/settings"
)

// libbeat ignores unknown names, and ends at the first value of a wrong type. These are the names that it knows, and
// the types of their values; where libbeat's own structs are exported, they are read. What is `any` is free, or read by
// libbeat alone.
type (
	// file is a whole configuration file but for our section; what is a *conf.C must be a mapping.
	file struct {
		Name            string                 `config:"name"`
		MaxProcs        int                    `config:"max_procs"`
		GCPercent       int                    `config:"gc_percent"`
		Tags            []string               `config:"tags"`
		Fields          map[string]any         `config:"fields"`
		FieldsUnderRoot bool                   `config:"fields_under_root"`
		Processors      []*conf.C              `config:"processors"`
		Path            pathSettings           `config:"path"`
		Logging         loggingSettings        `config:"logging"`
		HTTP            httpSettings           `config:"http"`
		Setup           setupSettings          `config:"setup"`
		Timestamp       timestamps             `config:"timestamp"`
		Cloud           cloudSettings          `config:"cloud"`
		Features        features               `config:"features"`
		Instrumentation instrumentation.Config `config:"instrumentation"`
		Keystore        struct {
			Path string `config:"path"`
		} `config:"keystore"`
		Management *conf.C `config:"management"`
		Migration  struct {
			SixToSeven struct {
				Enabled bool `config:"enabled"`
			} `config:"6_to_7"`
		} `config:"migration"`
		Monitoring monitoringSettings `config:"monitoring"`
		Output     *conf.C            `config:"output"`
		Queue      *conf.C            `config:"queue"`
		Seccomp    struct {
			Enabled       bool   `config:"enabled"`
			DefaultAction string `config:"default_action"`
			Syscalls      []struct {
				Action        string   `config:"action"`
				Names         []string `config:"names"`
				NamesWithArgs any      `config:"names_with_args"`
			} `config:"syscalls"`
		} `config:"seccomp"`
	}
	queueSettings struct {
		Mem struct {
			Enabled bool `config:"enabled"`
			Events  int  `config:"events" validate:"min=32"`
			Flush   struct {
				MinEvents int           `config:"min_events"`
				Timeout   time.Duration `config:"timeout"`
			} `config:"flush"`
		} `config:"mem"`
		Disk struct {
			Enabled          bool          `config:"enabled"`
			Path             string        `config:"path"`
			MaxSize          byteSize      `config:"max_size"`
			SegmentSize      byteSize      `config:"segment_size"`
			ReadAhead        int           `config:"read_ahead"`
			WriteAhead       int           `config:"write_ahead"`
			RetryInterval    time.Duration `config:"retry_interval"`
			MaxRetryInterval time.Duration `config:"max_retry_interval"`
		} `config:"disk"`
	}
	// tlsSettings belong to what speaks TLS; libbeat watches their certificates.
	tlsSettings struct {
		tlscommon.Config `config:",inline"`
		Restart          struct {
			Enabled bool          `config:"enabled"`
			Period  time.Duration `config:"period"`
		} `config:"restart_on_cert_change"`
	}
	pathSettings struct{ Home, Config, Data, Logs string }
	timestamps   struct {
		Precision precision `config:"precision"`
	}
	cloudSettings struct {
		ID   string `config:"id"`
		Auth string `config:"auth"`
	}
	toggle struct {
		Enabled bool `config:"enabled"`
	}
	features struct {
		FQDN            toggle `config:"fqdn"`
		RunAsFilestream toggle `config:"log_input_run_as_filestream"`
	}
	// logSettings belong to the log, and to the log of events, which may hold secrets.
	logSettings struct {
		Level      logLevel        `config:"level"`
		Selectors  []string        `config:"selectors"`
		Stderr     bool            `config:"to_stderr"`
		Syslog     bool            `config:"to_syslog"`
		ToFiles    bool            `config:"to_files"`
		EventLog   bool            `config:"to_eventlog"`
		Files      logp.FileConfig `config:"files"`
		WithFields map[string]any  `config:"with_fields"`
		AddCaller  bool            `config:"addcaller"`
		Metrics    struct {
			Enabled    bool          `config:"enabled"`
			Period     time.Duration `config:"period"`
			Namespaces []string      `config:"namespaces"`
		} `config:"metrics"`
	}
	loggingSettings struct {
		Common    logSettings `config:",inline"`
		JSON      any         `config:"json"` // gone from libbeat, harmless, and in many a file
		ECS       any         `config:"ecs"`
		EventData logSettings `config:"event_data"`
	}
	setupSettings struct {
		Dashboards dashboards.Config `config:"dashboards"`
		Kibana     kibanaSettings    `config:"kibana"`
		DSL        map[string]any    `config:"dsl"`
		ILM        map[string]any    `config:"ilm"`
		Template   map[string]any    `config:"template"`
	}
	// kibanaSettings are libbeat's own, which opens the files of certificates as it reads them: they may be on another
	// host, where setup is run.
	kibanaSettings struct {
		Protocol string `config:"protocol"`
		Host     string `config:"host"`
		Path     string `config:"path"`
		Space    struct {
			ID string `config:"id"`
		} `config:"space"`
		Username              string         `config:"username"`
		Password              string         `config:"password"`
		APIKey                string         `config:"api_key"`
		ServiceToken          string         `config:"service_token"`
		Headers               map[string]any `config:"headers"`
		IgnoreVersion         bool           `config:"ignoreversion"`
		SSL                   tlsSettings    `config:"ssl"`
		Timeout               time.Duration  `config:"timeout"`
		IdleConnectionTimeout time.Duration  `config:"idle_connection_timeout"`
		ProxyDisable          bool           `config:"proxy_disable"`
		ProxyHeaders          map[string]any `config:"proxy_headers"`
		ProxyURL              string         `config:"proxy_url"`
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
		Pprof  pprof.Config `config:"pprof"`
		Buffer struct {
			Enabled    bool          `config:"enabled"`
			Period     time.Duration `config:"period"`
			Size       int           `config:"size"`
			Namespaces []string      `config:"namespaces"`
		} `config:"buffer"`
	}
	monitoringSettings struct {
		Enabled       bool                 `config:"enabled"`
		ClusterUUID   string               `config:"cluster_uuid"`
		Cloud         cloudSettings        `config:"cloud"`
		Elasticsearch monitoringOverOutput `config:"elasticsearch"`
	}
	// monitoringOverOutput takes what the output takes, with more of its own.
	monitoringOverOutput struct {
		Output  elasticsearchSettings `config:",inline"`
		Metrics struct {
			Period time.Duration `config:"period"`
		} `config:"metrics"`
		State struct {
			Period time.Duration `config:"period"`
		} `config:"state"`
		BufferSize  int      `config:"buffer_size"`
		Tags        []string `config:"tags"`
		ClusterUUID string   `config:"cluster_uuid"`
	}
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

// precision is that of the documents' times.
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

// byteSize is a size in bytes.
type byteSize uint64

// Allowed says what a size may be.
func (byteSize) Allowed() string { return "a size such as 512MiB or 10GB" }

// Unpack reads a size as libbeat does.
func (s *byteSize) Unpack(text string) error {
	size, err := humanize.ParseBytes(text)
	*s = byteSize(size)
	return err
}

// newFile has libbeat's defaults where a bound needs one.
func newFile() *file {
	files := logp.DefaultConfig(logp.DefaultEnvironment).Files
	return &file{Logging: loggingSettings{Common: logSettings{Files: files}, EventData: logSettings{Files: files}}}
}

// The settings of a Beat's index management that reconbeat has as well.
type (
	templateSettings struct {
		Enabled   bool `config:"enabled"`
		Overwrite bool `config:"overwrite"`
		Settings  struct {
			Index map[string]any `config:"index"`
		} `config:"settings"`
	}
	lifecycleSettings struct {
		Enabled   bool `config:"enabled"`
		Overwrite bool `config:"overwrite"`
	}
)

// notOurs are names of a Beat's index management that reconbeat lacks, because it makes its templates itself.
var notOurs = map[string][]string{
	"template": {"append_fields", "fields", "json", "name", "pattern", "priority", "settings._source",
		"settings.lifecycle", "type"},
	"ilm": {"check_exists", "pattern", "policy_file", "policy_name", "rollover_alias"},
	"dsl": {"check_exists", "data_stream_pattern", "enabled", "overwrite", "policy_file"},
}

// checkSetup reports what is wrong with the settings of index management, for the assets of a data set.
func checkSetup(setup *conf.C, set string) error {
	var errs []error
	for _, part := range []struct {
		name string
		into any
	}{{"dsl", &struct{}{}}, {"ilm", &lifecycleSettings{}}, {"template", &templateSettings{}}} {
		section, err := setup.Child(part.name, -1)
		if err != nil {
			continue
		}
		path := "setup." + part.name
		for _, lacking := range notOurs[part.name] {
			if there, err := section.Has(lacking, -1); err != nil || !there {
				continue
			}
			errs = append(errs, fmt.Errorf("%s.%s: reconbeat makes its templates itself and has no such setting; what "+
				"is to be different goes into the component template %s@custom", path, lacking, set))
			if _, err := section.Remove(lacking, -1); err != nil {
				errs = append(errs, fmt.Errorf("%s.%s: %w", path, lacking, err))
			}
		}
		errs = append(errs, settings.Unknown(path, section, part.into),
			settings.WithoutUnset(settings.Read(path, section, part.into), "setup"))
	}
	return errors.Join(errs...)
}
