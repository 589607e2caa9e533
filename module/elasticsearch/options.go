// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/transport/tlscommon"

	"github.com/reconbeat/reconbeat/config/settings"
	"github.com/reconbeat/reconbeat/module"
)

// The values of from that are no times.
const (
	fromEnd       = "end"       // what is ingested from now on
	fromBeginning = "beginning" // everything that is there
)

// The fields by which documents may be read in order.
const (
	ingested  = "event.ingested"
	timestamp = "@timestamp"
)

// Connection is how a cluster is reached.
type Connection struct {
	Hosts    []string          `config:"hosts"` // of one cluster: URLs, or HOST:PORT
	Username string            `config:"username"`
	Password string            `config:"password"`
	APIKey   string            `config:"api_key"` // ID:KEY, or as Kibana shows it, encoded
	SSL      *tlscommon.Config `config:"ssl"`
	ProxyURL string            `config:"proxy_url"`
	Timeout  time.Duration     `config:"timeout"` // of a request
}

// Options is what a user may set for the module.
type Options struct {
	Connection `config:",inline"`
	Indices    []string `config:"indices"` // patterns of indices and data streams
	// where to begin without a remembered place, and a replay in any case: end, beginning, a date, or now-7d and the
	// like
	From          string        `config:"from"`
	OrderBy       string        `config:"order_by"`       // event.ingested or @timestamp
	QueryDelay    time.Duration `config:"query_delay"`    // how old a document must be before it is read
	Period        time.Duration `config:"period"`         // of the searches for new documents
	PageSize      int           `config:"page_size"`      // documents in an answer
	LateWithin    time.Duration `config:"late_within"`    // how far behind the place of reading late ones are looked for
	ParentsWithin time.Duration `config:"parents_within"` // how far back parents are looked for; 0: not at all
	Partition     string        `config:"partition"`      // I/N: of N parts of the hosts, the I-th
	BackoffInit   time.Duration `config:"backoff_init"`   // before the first repetition of a request that failed
	BackoffMax    time.Duration `config:"backoff_max"`    // before each later one, at most
}

func defaults() Options {
	return Options{
		Connection:    Connection{Hosts: []string{"http://localhost:9200"}, Timeout: 90 * time.Second},
		Indices:       []string{"logs-endpoint.events.process-*", "logs-auditd_manager.auditd-*", "auditbeat-*"},
		From:          fromEnd,
		OrderBy:       ingested,
		QueryDelay:    30 * time.Second,
		Period:        2 * time.Second,
		PageSize:      1000,
		LateWithin:    10 * time.Minute,
		ParentsWithin: 24 * time.Hour,
		Partition:     "1/1",
		BackoffInit:   time.Second,
		BackoffMax:    time.Minute,
	}
}

// New makes the module from its options. It opens nothing; the error names every option that is wrong.
func New(cfg *conf.C, env module.Env) (module.Module, error) {
	o := defaults()
	if err := settings.Behind(settings.Read("", cfg, &o), o.check()); err != nil {
		return nil, err
	}
	part, parts, _ := o.partition()
	return &cluster{Options: o, env: env, part: part, parts: parts}, nil
}

// mistakes are what is wrong with options, each with the name of the option.
type mistakes []error

func (m *mistakes) wrong(name string, value any, allowed string) {
	if text, ok := value.(string); ok {
		value = strconv.Quote(text)
	}
	*m = append(*m, fmt.Errorf("%s: %v is not allowed; it must be %s", name, value, allowed))
}

func (m *mistakes) between(name string, value, least, most time.Duration) {
	if value < least || value > most {
		m.wrong(name, value, fmt.Sprintf("%s to %s", least, most))
	}
}

// check adds every wrong value.
func (c Connection) check(m *mistakes) {
	if len(c.Hosts) == 0 {
		*m = append(*m, errors.New("hosts: it is empty; name the cluster's nodes"))
	}
	for i, h := range c.Hosts {
		if _, err := nodeURL(h); err != nil {
			m.wrong(fmt.Sprintf("hosts.%d", i), h, "a URL such as https://es.example:9200, or HOST:PORT")
		}
	}
	if c.APIKey != "" && (c.Username != "" || c.Password != "") {
		*m = append(*m, errors.New("api_key: it is set beside username or password; only one way to log in is allowed"))
	}
	if u, err := url.Parse(c.ProxyURL); c.ProxyURL != "" && (err != nil || u.Host == "") {
		m.wrong("proxy_url", c.ProxyURL, "a URL such as http://proxy.example:3128")
	}
	m.between("timeout", c.Timeout, time.Second, time.Hour)
}

// check returns every wrong value.
func (o Options) check() error {
	var m mistakes
	o.Connection.check(&m)
	if len(o.Indices) == 0 {
		m = append(m, errors.New("indices: it is empty; name the indices or data streams to read"))
	}
	for i, pattern := range o.Indices {
		if !indexPattern.MatchString(pattern) {
			m.wrong(fmt.Sprintf("indices.%d", i), pattern, "the name of an index or data stream, which may have * in it")
		}
	}
	if _, err := o.begin(time.Now()); err != nil {
		m.wrong("from", o.From, "end, beginning, "+allowedTimes)
	}
	if o.OrderBy != ingested && o.OrderBy != timestamp {
		m.wrong("order_by", o.OrderBy, ingested+" or "+timestamp)
	}
	m.between("query_delay", o.QueryDelay, 0, time.Hour)
	m.between("period", o.Period, 100*time.Millisecond, time.Hour)
	m.between("late_within", o.LateWithin, 0, 24*time.Hour)
	m.between("parents_within", o.ParentsWithin, 0, 90*24*time.Hour)
	m.between("backoff_init", o.BackoffInit, time.Millisecond, time.Hour)
	m.between("backoff_max", o.BackoffMax, o.BackoffInit, time.Hour)
	if o.PageSize < leastPage || o.PageSize > mostPage {
		m.wrong("page_size", o.PageSize, fmt.Sprintf("%d to %d", leastPage, mostPage))
	}
	if _, _, err := o.partition(); err != nil {
		m.wrong("partition", o.Partition, "I/N, such as 2/8, with I from 1 to N and N at most 1024")
	}
	return errors.Join(m...)
}

const (
	leastPage = 10
	mostPage  = 10_000 // index.max_result_window, as it is by default
)

// indexPattern is what may stand in the path of a search: names, patterns, of other clusters too (CLUSTER:INDEX), and
// exclusions.
var indexPattern = regexp.MustCompile(`^-?[a-z0-9.*_:+~@=-]+$`)

// partition is which of how many parts of the hosts are this module's.
func (o Options) partition() (part, parts uint64, err error) {
	first, second, _ := strings.Cut(o.Partition, "/")
	part, errPart := strconv.ParseUint(first, 10, 16)
	parts, errParts := strconv.ParseUint(second, 10, 16)
	if err := errors.Join(errPart, errParts); err != nil {
		return 0, 0, err
	}
	if part < 1 || part > parts || parts > 1024 {
		return 0, 0, fmt.Errorf("%d of %d parts", part, parts)
	}
	return part, parts, nil
}

// allowedTimes says what a time may be written as.
const allowedTimes = "now-60d (m, h, d and w are known), or a date such as 2026-11-01 or 2026-11-01T08:00:00Z"

// begin is the time that from stands for.
func (o Options) begin(now time.Time) (time.Time, error) {
	switch o.From {
	case fromEnd:
		return now, nil
	case fromBeginning:
		return time.UnixMilli(0), nil
	}
	return ParseTime(o.From, now)
}

// ParseTime reads a time as a user writes it: now, now-60d, a date, or RFC 3339. A date without a zone is one of UTC.
func ParseTime(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil && !t.Before(time.UnixMilli(0)) {
			return t, nil
		}
	}
	if text == "now" {
		return now, nil
	}
	units := map[byte]time.Duration{'m': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	back, ok := strings.CutPrefix(text, "now-")
	if ok && len(back) > 1 {
		unit := units[back[len(back)-1]]
		n, err := strconv.ParseUint(back[:len(back)-1], 10, 16)
		if err == nil && unit > 0 {
			if t := now.Add(-time.Duration(n) * unit); !t.Before(time.UnixMilli(0)) { // n is at most 65,535
				return t, nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time; it must be %s", text, allowedTimes)
}

// nodeURL is where a node of the cluster listens.
func nodeURL(host string) (*url.URL, error) {
	if !strings.Contains(host, "://") {
		host = "http://" + host
	}
	u, err := url.Parse(host)
	if err != nil {
		return nil, err
	}
	if u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is not where a node listens", host)
	}
	if u.Port() == "" {
		u.Host += ":9200"
	}
	return u, nil
}
