// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/elastic/elastic-agent-libs/transport/httpcommon"
	"github.com/elastic/elastic-agent-libs/transport/tlscommon"
)

// Item is one target, an element of `reconbeat.notify`. Exactly one of Webhook, Syslog and Program is there.
type Item struct {
	ID       string   `config:"id"`        // unique; names the target in the log, in counts and in the state
	Rules    []string `config:"rules"`     // ids of those whose alerts are delivered; empty: all
	MinScore float64  `config:"min_score"` // 0 to 100; alerts without a score always are
	PerHour  int      `config:"per_hour"`  // how many are delivered in an hour; the rest is counted in one message
	Webhook  *Webhook `config:"webhook"`
	Syslog   *Syslog  `config:"syslog"`
	Program  *Program `config:"program"`
}

// NewItem is an item with the defaults.
func NewItem() Item { return Item{PerHour: 60} }

// Webhook is an HTTP endpoint that takes JSON.
type Webhook struct {
	URL       string            `config:"url"`
	Shape     string            `config:"shape"`     // json, slack, teams or pagerduty
	Template  string            `config:"template"`  // a Go template of a JSON body, in the place of a shape
	Variables map[string]string `config:"variables"` // what the body needs beside the alert, such as routing_key
	Headers   map[string]string `config:"headers"`
	SSL       *tlscommon.Config `config:"ssl"`
	ProxyURL  string            `config:"proxy_url"` // empty: what the environment says
	Timeout   time.Duration     `config:"timeout"`   // of a request; 0: 30 s
}

// Syslog is a receiver of RFC 5424.
type Syslog struct {
	Network  string            `config:"network"`  // udp, tcp, tls or unix (a datagram socket)
	Address  string            `config:"address"`  // host:port, or the path of a socket
	Facility string            `config:"facility"` // authpriv by default
	Format   string            `config:"format"`   // text, or json: the document
	SSL      *tlscommon.Config `config:"ssl"`      // of network tls
	Timeout  time.Duration     `config:"timeout"`  // 0: 10 s
}

// Program is a program on the host. It gets the alert on standard input, as JSON, and its chief fields in its
// environment (RECONBEAT_ALERT_ID ...); there is no shell, and no argument.
type Program struct {
	Path    string        `config:"path"`
	User    string        `config:"user"`    // as whom it runs; empty: nobody, where reconbeat is root, else as reconbeat
	Timeout time.Duration `config:"timeout"` // after which it and its children are killed. 0: 30 s
}

var (
	idOfItem   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	networks   = []string{"udp", "tcp", "tls", "unix"}
	facilities = []string{
		"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
		"audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
	}
)

// wrong gathers what is wrong, each with its key.
type wrong []error

func (w *wrong) add(key, format string, args ...any) {
	*w = append(*w, fmt.Errorf("%s: "+format, append([]any{key}, args...)...))
}

// Check returns everything that is wrong with the item, each error with the key that it is about.
func (i *Item) Check() error {
	var w wrong
	if !idOfItem.MatchString(i.ID) {
		w.add("id", "%q is not allowed; it must be letters, digits, -, _ and ., at most 64", i.ID)
	}
	if !(i.MinScore >= 0 && i.MinScore <= 100) {
		w.add("min_score", "%v is not allowed; it must be 0 to 100", i.MinScore)
	}
	if i.PerHour < 1 {
		w.add("per_hour", "%d is not allowed; it must be 1 or more", i.PerHour)
	}
	targets := 0
	for _, there := range []bool{i.Webhook != nil, i.Syslog != nil, i.Program != nil} {
		if there {
			targets++
		}
	}
	if targets != 1 {
		w.add("webhook", "%d of webhook, syslog and program are set; it must be exactly one", targets)
	}
	if i.Webhook != nil {
		i.Webhook.check(&w)
	}
	if i.Syslog != nil {
		i.Syslog.check(&w)
	}
	if i.Program != nil {
		i.Program.check(&w)
	}
	return errors.Join(w...)
}

func (h *Webhook) check(w *wrong) {
	// Whoever knows the URL of a webhook can write there: messages do not show it.
	if u, err := url.Parse(h.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		w.add("webhook.url", "is missing, or not allowed; it must be a URL that begins with http:// or https://")
	}
	if u, err := url.Parse(h.ProxyURL); h.ProxyURL != "" && (err != nil || u.Host == "") {
		w.add("webhook.proxy_url", "the value is not allowed; it must be a URL such as http://proxy.example:3128")
	}
	if h.Timeout < 0 {
		w.add("webhook.timeout", "%v is not allowed; it must not be negative", h.Timeout)
	}
	if h.SSL != nil {
		if err := h.SSL.Validate(); err != nil {
			w.add("webhook.ssl", "%w", err)
		}
	}
	if h.Shape != "" && h.Template != "" {
		w.add("webhook.shape", "%q is not allowed beside a template", h.Shape)
		return
	}
	if h.Shape == "pagerduty" && h.Variables["routing_key"] == "" {
		w.add("webhook.variables.routing_key", "is missing; it must be the integration key of the service")
		return
	}
	key := "webhook.template"
	if h.Template == "" {
		key = "webhook.shape"
	}
	body, err := h.body()
	if err != nil {
		w.add(key, "%w", err)
		return
	}
	for _, a := range []*Alert{Sample("", time.Now()), heldBack("", 1, time.Now())} {
		if _, err := body.of(a); err != nil {
			w.add(key, "%w", err)
			return
		}
	}
}

// transport is how requests are made.
func (h *Webhook) transport() (httpcommon.HTTPTransportSettings, error) {
	t := httpcommon.DefaultHTTPTransportSettings()
	t.TLS, t.Timeout = h.SSL, cmp.Or(h.Timeout, 30*time.Second)
	if h.ProxyURL != "" {
		proxy, err := httpcommon.NewProxyURIFromString(h.ProxyURL)
		if err != nil {
			return t, errors.New("proxy_url cannot be read") // it may have a password
		}
		t.Proxy.URL = proxy
	}
	return t, nil
}

func (s *Syslog) check(w *wrong) {
	if !slices.Contains(networks, s.network()) {
		w.add("syslog.network", "%q is not allowed; it must be %s", s.Network, strings.Join(networks, ", "))
	}
	if s.network() == "unix" {
		if !filepath.IsAbs(s.Address) {
			w.add("syslog.address", "%q is not allowed; it must be the path of a socket, such as /dev/log", s.Address)
		}
	} else if _, _, err := net.SplitHostPort(s.Address); err != nil {
		w.add("syslog.address", "%q is not allowed; it must be host:port", s.Address)
	}
	if s.Facility != "" && !slices.Contains(facilities, s.Facility) {
		w.add("syslog.facility", "%q is not allowed; it must be one of %s", s.Facility, strings.Join(facilities, ", "))
	}
	if s.Format != "" && s.Format != "text" && s.Format != "json" {
		w.add("syslog.format", "%q is not allowed; it must be text or json", s.Format)
	}
	if s.SSL != nil && s.network() != "tls" {
		w.add("syslog.ssl", "it is set, and syslog.network is %q; only tls has it", s.network())
	} else if s.SSL != nil {
		if err := s.SSL.Validate(); err != nil {
			w.add("syslog.ssl", "%w", err)
		}
	}
	if s.Timeout < 0 {
		w.add("syslog.timeout", "%v is not allowed; it must not be negative", s.Timeout)
	}
}

func (s *Syslog) network() string {
	if s.Network == "" {
		return "udp"
	}
	return s.Network
}

func (p *Program) check(w *wrong) {
	if !filepath.IsAbs(p.Path) {
		w.add("program.path", "%q is not allowed; it must be an absolute path", p.Path)
	}
	if p.Timeout < 0 {
		w.add("program.timeout", "%v is not allowed; it must not be negative", p.Timeout)
	}
}
