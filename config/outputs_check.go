// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/elastic/beats/v7/libbeat/common"
	"github.com/elastic/beats/v7/libbeat/common/fmtstr"
	"github.com/elastic/elastic-agent-libs/transport"
	"github.com/elastic/elastic-agent-libs/transport/httpcommon"

	"github.com/reconbeat/reconbeat/config/settings"
)

// What follows are the rules of libbeat's outputs about values. libbeat ends at the first one that is broken, once
// everything else of the configuration is right.

// wrongs are the errors about the settings of one output.
type wrongs struct {
	path  string
	cloud bool // cloud.id names the hosts
	errs  []error
}

func (w *wrongs) add(name string, value any, allowed string) {
	if text, ok := value.(string); ok {
		value = quoted(text)
	}
	at := settings.Join(w.path, name)
	w.errs = append(w.errs, fmt.Errorf("%s: %v is not allowed; it must be %s", at, value, allowed))
}

func (w *wrongs) missing(name, allowed string) {
	w.errs = append(w.errs, fmt.Errorf("%s: is missing; it must be %s", settings.Join(w.path, name), allowed))
}

// oneOf checks one of several words; nothing means libbeat's default.
func (w *wrongs) oneOf(name, value string, allowed ...string) {
	if value != "" && !slices.Contains(allowed, value) {
		last := len(allowed) - 1
		w.add(name, value, strings.Join(allowed[:last], ", ")+" or "+allowed[last])
	}
}

// format checks a text that takes in values of the document.
func (w *wrongs) format(name, value string) {
	if _, err := fmtstr.CompileEvent(value); err != nil {
		w.add(name, value, fmt.Sprintf("text in which %%{[FIELD]} stands for a value of the document (%v)", err))
	}
}

// hosts checks that there are some, and each of them.
func (w *wrongs) hosts(hosts []string, check func(host string) error, allowed string) {
	if len(hosts) == 0 && !w.cloud {
		w.missing("hosts", "a list of hosts, each "+allowed)
	}
	for i, host := range hosts {
		if err := check(host); err != nil {
			w.add(fmt.Sprintf("hosts.%d", i), host, fmt.Sprintf("%s (%v)", allowed, err))
		}
	}
}

// socksProxy checks the proxy of an output that does not speak HTTP.
func (w *wrongs) socksProxy(address string) {
	if err := (&transport.ProxyConfig{URL: address}).Validate(); err != nil {
		w.add("proxy_url", address, fmt.Sprintf("socks5://HOST:PORT (%v)", err))
	}
}

func (w *wrongs) codec(c codecSettings) { w.format("codec.format.string", c.Format.String) }

// kafkaVersion is what a version looks like. Which there are only Kafka's client knows, which is not to be linked to
// whatever reads a configuration.
var kafkaVersion = regexp.MustCompile(`^(\d+(\.\d+){0,3})?$`)

func anyHost(string) error { return nil }

func (s *elasticsearchSettings) check(w *wrongs) {
	w.oneOf("protocol", s.Protocol, "http", "https")
	w.oneOf("preset", s.Preset, "balanced", "custom", "latency", "scale", "throughput")
	w.hosts(s.Network.Hosts, func(host string) error {
		_, err := common.MakeURL(s.Protocol, s.Path, host, 9200)
		return err
	}, "a URL or HOST:PORT")
	if s.APIKey != "" && (s.Username != "" || s.Password != "") {
		w.errs = append(w.errs, fmt.Errorf("%s: api_key stands beside username or password; only one way to log in "+
			"is allowed", w.path))
	}
	if s.ProxyURL != "" {
		if _, err := httpcommon.NewProxyURIFromString(s.ProxyURL); err != nil {
			w.add("proxy_url", s.ProxyURL, fmt.Sprintf("a URL (%v)", err))
		}
	}
	w.format("index", s.Index)
	for i, one := range s.Indices {
		w.format(fmt.Sprintf("indices.%d.index", i), one.Index)
	}
	w.format("pipeline", s.Pipeline)
	for i, one := range s.Pipelines {
		w.format(fmt.Sprintf("pipelines.%d.pipeline", i), one.Pipeline)
	}
}

func (s *logstashSettings) check(w *wrongs) {
	w.hosts(s.Network.Hosts, anyHost, "HOST:PORT")
	w.socksProxy(s.ProxyURL)
	if s.Network.MaxRetries < -1 {
		w.add("max_retries", s.Network.MaxRetries, "-1, for no end of them, or more")
	}
	if s.TTL < 0 {
		w.add("ttl", s.TTL, "0s or more")
	}
}

func (s *kafkaSettings) check(w *wrongs) {
	w.hosts(s.Network.Hosts, anyHost, "HOST:PORT")
	w.oneOf("compression", strings.ToLower(s.Compression), "gzip", "lz4", "no", "none", "off", "snappy", "zstd")
	if level := s.CompressionLevel; s.Compression == "gzip" && level != -1000 && (level < 0 || level > 9) {
		w.add("compression_level", level, "0 to 9")
	}
	if !kafkaVersion.MatchString(s.Version) {
		w.add("version", s.Version, "a version of Kafka's protocol such as 2.1.0")
	}
	w.oneOf("sasl.mechanism", strings.ToUpper(s.SASL.Mechanism), "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
	if s.Username != "" && s.Password == "" {
		w.missing("password", "that of username")
	}
	if s.Topic == "" && len(s.Topics) == 0 {
		w.missing("topic", "the name of a topic, or have topics beside it")
	}
	w.format("topic", s.Topic)
	for i, one := range s.Topics {
		w.format(fmt.Sprintf("topics.%d.topic", i), one.Topic)
	}
	w.format("key", s.Key)
	w.codec(s.Codec)
}

func (s *redisSettings) check(w *wrongs) {
	w.hosts(s.Network.Hosts, func(host string) error {
		if !strings.Contains(host, "://") {
			host = "redis://" + host
		}
		at, err := url.Parse(host)
		if err == nil && (at.Host == "" || at.Scheme != "redis" && at.Scheme != "rediss") {
			err = fmt.Errorf("its scheme is %q, and its host %q", at.Scheme, at.Host)
		}
		return err
	}, "HOST:PORT, redis://HOST:PORT or rediss://HOST:PORT")
	w.oneOf("datatype", s.Datatype, "list", "channel")
	w.socksProxy(s.ProxyURL)
	w.format("index", s.Index)
	w.format("key", s.Key)
	for i, one := range s.Keys {
		w.format(fmt.Sprintf("keys.%d.key", i), one.Key)
	}
	w.codec(s.Codec)
}

func (s *fileSettings) check(w *wrongs) {
	if s.Path == "" {
		w.missing("path", "a folder")
	}
	w.format("path", s.Path)
	if s.Permissions > 0o777 {
		w.add("permissions", fmt.Sprintf("%#o", s.Permissions), "octal and at most 0777")
	}
	w.codec(s.Codec)
}

func (s *consoleSettings) check(w *wrongs) { w.codec(s.Codec) }
