// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/elastic/beats/v7/libbeat/common/transport/kerberos"
	"github.com/elastic/beats/v7/libbeat/conditions"
	"github.com/elastic/beats/v7/libbeat/publisher/queue/diskqueue"
	conf "github.com/elastic/elastic-agent-libs/config"

	"github.com/reconbeat/reconbeat/config/settings"
)

// The settings of each output.
type (
	backoffSettings struct {
		Init time.Duration `config:"init"`
		Max  time.Duration `config:"max"`
	}
	// ofEveryOutput are the settings that every output may have.
	ofEveryOutput struct {
		Enabled bool    `config:"enabled"`
		Queue   *conf.C `config:"queue"` // checkQueue reads it
	}
	// ofNetwork are the settings of outputs that send to hosts.
	ofNetwork struct {
		Backoff     backoffSettings `config:"backoff"`
		BulkMaxSize int             `config:"bulk_max_size"`
		Hosts       []string        `config:"hosts"`
		MaxRetries  int             `config:"max_retries"`
		SSL         tlsSettings     `config:"ssl"`
		Timeout     time.Duration   `config:"timeout"`
		Worker      int             `config:"worker"`
		Workers     int             `config:"workers"`
	}
	elasticsearchSettings struct {
		Common                ofEveryOutput    `config:",inline"`
		Network               ofNetwork        `config:",inline"`
		AllowOlderVersions    bool             `config:"allow_older_versions"`
		APIKey                string           `config:"api_key"`
		CompressionLevel      int              `config:"compression_level" validate:"min=0, max=9"`
		EscapeHTML            bool             `config:"escape_html"`
		Headers               map[string]any   `config:"headers"`
		IdleConnectionTimeout time.Duration    `config:"idle_connection_timeout"`
		Index                 string           `config:"index"`
		Indices               []indexChoice    `config:"indices"`
		Kerberos              *kerberos.Config `config:"kerberos"`
		Loadbalance           bool             `config:"loadbalance"`
		NonIndexablePolicy    rejection        `config:"non_indexable_policy"`
		Parameters            map[string]any   `config:"parameters"`
		Password              string           `config:"password"`
		Path                  string           `config:"path"`
		Pipeline              string           `config:"pipeline"`
		Pipelines             []pipelineChoice `config:"pipelines"`
		Preset                string           `config:"preset"`
		Protocol              string           `config:"protocol"`
		ProxyDisable          bool             `config:"proxy_disable"`
		ProxyHeaders          map[string]any   `config:"proxy_headers"`
		ProxyURL              string           `config:"proxy_url"`
		Username              string           `config:"username"`
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
		Common             ofEveryOutput    `config:",inline"`
		Network            ofNetwork        `config:",inline"`
		BrokerTimeout      time.Duration    `config:"broker_timeout"`
		BulkFlushFrequency time.Duration    `config:"bulk_flush_frequency"`
		ChannelBufferSize  int              `config:"channel_buffer_size" validate:"min=1"`
		ClientID           string           `config:"client_id"`
		Codec              codecSettings    `config:"codec"`
		Compression        string           `config:"compression"`
		CompressionLevel   int              `config:"compression_level"`
		EnableKrb5Fast     bool             `config:"enable_krb5_fast"`
		Headers            []kafkaHeader    `config:"headers"`
		KeepAlive          time.Duration    `config:"keep_alive"`
		Kerberos           *kerberos.Config `config:"kerberos"`
		Key                string           `config:"key"`
		MaxMessageBytes    int              `config:"max_message_bytes"`
		Metadata           kafkaMetadata    `config:"metadata"`
		Partition          kafkaPartition   `config:"partition"`
		Password           string           `config:"password"`
		RequiredAcks       int              `config:"required_acks" validate:"min=-1"`
		SASL               struct {
			Mechanism string `config:"mechanism"`
		} `config:"sasl"`
		Topic    string        `config:"topic"`
		Topics   []topicChoice `config:"topics"`
		Username string        `config:"username"`
		Version  string        `config:"version"`
	}
	redisSettings struct {
		Common                ofEveryOutput `config:",inline"`
		Network               ofNetwork     `config:",inline"`
		Codec                 codecSettings `config:"codec"`
		Datatype              string        `config:"datatype"`
		DB                    int           `config:"db" validate:"min=0"`
		Index                 string        `config:"index"`
		Key                   string        `config:"key"`
		Keys                  []keyChoice   `config:"keys"`
		Loadbalance           bool          `config:"loadbalance"`
		Password              string        `config:"password"`
		ProxyURL              string        `config:"proxy_url"`
		ProxyUseLocalResolver bool          `config:"proxy_use_local_resolver"`
		Username              string        `config:"username"`
	}
	fileSettings struct {
		Common          ofEveryOutput `config:",inline"`
		Codec           codecSettings `config:"codec"`
		Filename        string        `config:"filename"`
		NumberOfFiles   uint          `config:"number_of_files" validate:"min=2, max=1024"`
		Path            string        `config:"path"`
		Permissions     uint32        `config:"permissions"`
		RotateEveryKB   uint          `config:"rotate_every_kb" validate:"min=1"`
		RotateOnStartup bool          `config:"rotate_on_startup"`
	}
	consoleSettings struct {
		Common    ofEveryOutput `config:",inline"`
		BatchSize int           `config:"batchsize"`
		Codec     codecSettings `config:"codec"`
		Pretty    bool          `config:"pretty"`
	}
	discardSettings struct {
		Common ofEveryOutput `config:",inline"`
	}
	// codecSettings say how a document becomes text; libbeat's json takes the names without the underscore.
	codecSettings struct {
		JSON struct {
			Enabled         bool `config:"enabled"`
			Pretty          bool `config:"pretty"`
			EscapeHTML      bool `config:"escape_html"`
			EscapeHTMLPlain bool `config:"escapehtml"`
			LocalTime       bool `config:"local_time"`
			LocalTimePlain  bool `config:"localtime"`
		} `config:"json"`
		Format struct {
			Enabled bool   `config:"enabled"`
			String  string `config:"string"`
		} `config:"format"`
	}
	// rejection is what becomes of what Elasticsearch refuses.
	rejection struct {
		Drop       toggle `config:"drop"`
		DeadLetter struct {
			Enabled bool   `config:"enabled"`
			Index   string `config:"index"`
		} `config:"dead_letter_index"`
	}
	// choice is one of several indices, pipelines, topics or keys, the first of which that fits is taken.
	choice struct {
		Default  string             `config:"default"`
		Mappings map[string]any     `config:"mappings"`
		When     *conditions.Config `config:"when"`
	}
	indexChoice struct {
		Common choice `config:",inline"`
		Index  string `config:"index"`
	}
	pipelineChoice struct {
		Common   choice `config:",inline"`
		Pipeline string `config:"pipeline"`
	}
	topicChoice struct {
		Common choice `config:",inline"`
		Topic  string `config:"topic"`
	}
	keyChoice struct {
		Common choice `config:",inline"`
		Key    string `config:"key"`
	}
	kafkaHeader struct {
		Key   string `config:"key"`
		Value string `config:"value"`
	}
	kafkaMetadata struct {
		Retry struct {
			Max     int           `config:"max"`
			Backoff time.Duration `config:"backoff"`
		} `config:"retry"`
		RefreshFrequency time.Duration `config:"refresh_frequency"`
		Full             bool          `config:"full"`
	}
	kafkaPartition struct {
		Random     kafkaGroups `config:"random"`
		RoundRobin kafkaGroups `config:"round_robin"`
		Hash       struct {
			Enabled       bool     `config:"enabled"`
			ReachableOnly bool     `config:"reachable_only"`
			Hash          []string `config:"hash"`
			Random        bool     `config:"random"`
		} `config:"hash"`
	}
	kafkaGroups struct {
		Enabled       bool `config:"enabled"`
		ReachableOnly bool `config:"reachable_only"`
		GroupEvents   int  `config:"group_events"`
	}
	// terminalSettings belong to the output with which `watch` shows its alerts.
	terminalSettings struct {
		Common ofEveryOutput `config:",inline"`
		Format string        `config:"format"`
	}
)

// newOutput makes the settings of each output, with libbeat's defaults where a bound or a check needs one.
var newOutput = map[string]func() any{
	"elasticsearch": func() any { return &elasticsearchSettings{} },
	"logstash":      func() any { return &logstashSettings{} },
	"kafka":         func() any { return &kafkaSettings{Compression: "gzip", ChannelBufferSize: 256} },
	"redis":         func() any { return &redisSettings{Datatype: "list"} },
	"file":          func() any { return &fileSettings{NumberOfFiles: 7, RotateEveryKB: 10 * 1024} },
	"console":       func() any { return &consoleSettings{} },
	"discard":       func() any { return &discardSettings{} },
	"terminal":      func() any { return &terminalSettings{} },
}

// checkOutputs checks the outputs that are on. cloud: libbeat has the hosts from cloud.id.
func checkOutputs(all *conf.C, cloud bool) error {
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
		errs = append(errs, settings.Unknown(path, output, into))
		if queue, err := output.Child("queue", -1); err == nil {
			errs = append(errs, checkQueue(path+".queue", queue))
		}
		for _, one := range []string{"codec", "non_indexable_policy", "partition"} {
			if section, err := output.Child(one, -1); err == nil {
				errs = append(errs, checkOne(settings.Join(path, one), section))
			}
		}
		err = settings.Read(path, output, into)
		if checked, ok := into.(interface{ check(w *wrongs) }); ok {
			w := wrongs{path: path, cloud: cloud && name == "elasticsearch"}
			checked.check(&w)
			err = settings.Behind(err, errors.Join(w.errs...))
		}
		errs = append(errs, err, settings.Read(path, output, &values))
	}
	return errors.Join(errs...)
}

func checkQueue(path string, c *conf.C) error {
	var q queueSettings
	q.Mem.Events = leastEvents
	if err := errors.Join(checkOne(path, c), settings.Unknown(path, c, q), settings.Read(path, c, &q)); err != nil {
		return err
	}
	disk, err := c.Child("disk", -1)
	if err != nil {
		return nil //nolint:nilerr // there is none
	}
	if !disk.HasField("max_size") {
		return fmt.Errorf("%s.disk.max_size: is missing", path)
	}
	if _, err := diskqueue.SettingsForUserConfig(disk); err != nil { // the least sizes, and what goes together
		return fmt.Errorf("%s.disk: %w", path, settings.Reason(err))
	}
	return nil
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
