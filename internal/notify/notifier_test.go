// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"
)

// kept are alerts as the state keeps them: what is saved outlives a restart.
type kept struct {
	all         []*beat.Event
	at, savedAt int
	held, saved int
}

func (k *kept) Next(each func(*beat.Event) error) error {
	for ; k.at < len(k.all); k.at++ {
		if err := each(k.all[k.at]); err != nil {
			return err
		}
	}
	return nil
}
func (k *kept) Save() error    { k.savedAt, k.saved = k.at, k.held; return nil }
func (k *kept) HeldBack() *int { return &k.held }
func (k *kept) Missed() bool   { return false }

// restart is what a reconbeat finds that begins after this one was killed.
func (k *kept) restart() *kept {
	return &kept{all: k.all, at: k.savedAt, savedAt: k.savedAt, held: k.saved, saved: k.saved}
}

func alerts(n int) *kept {
	k := &kept{}
	for i := range n {
		k.all = append(k.all, event(fmt.Sprint(i)))
	}
	return k
}

// noted is what health has heard.
type noted struct{ failing, delivers atomic.Int64 }

func (h *noted) Failing(string, string) { h.failing.Add(1) }
func (h *noted) Delivers(string)        { h.delivers.Add(1) }

// taking is a target that takes what it is asked to.
type taking struct {
	took []string
	take func(a *Alert) error
}

func (f *taking) deliver(_ context.Context, a *Alert) error {
	if err := f.take(a); err != nil {
		return err
	}
	if a.HeldBack > 0 {
		f.took = append(f.took, fmt.Sprint("held ", a.HeldBack))
		return nil
	}
	f.took = append(f.took, a.ID)
	return nil
}
func (*taking) close() {}

var errAway = errors.New("away")

func notifier(t *testing.T, item string, k *kept, f *taking) (*Notifier, *noted) {
	h := &noted{}
	n, err := New(read(t, item), "here", k, h, logp.NewNopLogger())
	require.NoError(t, err)
	n.target.close()
	n.target = f
	return n, h
}

const someSyslog = "id: x, syslog: {address: '127.0.0.1:514'}"

// The first alerts up to the limit are delivered, and how many more there were, once there is room again.
func TestALimitHoldsBackAndSaysHowMany(t *testing.T) {
	t.Parallel()
	f := &taking{take: func(*Alert) error { return nil }}
	k := alerts(10)
	n, _ := notifier(t, "{per_hour: 3, "+someSyslog+"}", k, f)
	require.NoError(t, n.pass(t.Context()))
	require.NoError(t, n.pass(t.Context()))
	require.Equal(t, []string{"0", "1", "2"}, f.took)
	require.EqualValues(t, 7, n.Stats.HeldBack.Load())
	require.Equal(t, 10, k.savedAt)
	require.Equal(t, 7, k.saved)

	k = k.restart() // the count outlives it
	n, _ = notifier(t, "{per_hour: 3, "+someSyslog+"}", k, f)
	f.take = func(*Alert) error { return errAway }
	require.ErrorIs(t, n.pass(t.Context()), errAway)
	require.Equal(t, 7, k.held)
	f.take = func(*Alert) error { return nil }
	require.NoError(t, n.pass(t.Context()))
	require.NoError(t, n.pass(t.Context()))
	require.Equal(t, []string{"0", "1", "2", "held 7"}, f.took)
	require.Zero(t, k.saved)
}

// A target that takes nothing for long loses nothing, in order; a restart at any moment delivers one alert twice at
// most.
func TestARestartLosesNothing(t *testing.T) {
	t.Parallel()
	f := &taking{}
	k := alerts(20)
	for life, tries := 0, 0; len(f.took) < 20 || life < 30; life++ {
		n, h := notifier(t, "{"+someSyslog+"}", k, f)
		f.take = func(*Alert) error {
			if tries++; tries%3 == 0 {
				return errAway
			}
			return nil
		}
		err := n.pass(t.Context())
		require.True(t, err == nil || errors.Is(err, errAway))
		require.EqualValues(t, n.Stats.Delivered.Load(), h.delivers.Load())
		k = k.restart()
	}
	for i, id := range f.took {
		require.Equal(t, fmt.Sprint(i), id)
	}
	// Killed between a delivery and the note of it: that one comes again, and no other.
	k, f = alerts(3), &taking{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.take = func(a *Alert) error {
		if a.ID == "1" {
			panic("killed")
		}
		return nil
	}
	n, _ := notifier(t, "{"+someSyslog+"}", k, f)
	require.Panics(t, func() { defer func() { n.unsaved = false; panic(recover()) }(); _ = n.pass(ctx) })
	f.take = func(*Alert) error { return nil }
	n, _ = notifier(t, "{"+someSyslog+"}", k.restart(), f)
	require.NoError(t, n.pass(ctx))
	require.Equal(t, []string{"0", "1", "2"}, f.took)
}

// An alert that a target fails at, again and again, does not hold up the others, and is given up once they go through;
// while the target takes none at all, none is.
func TestAPoisonAlert(t *testing.T) {
	t.Parallel()
	away := true
	f := &taking{}
	f.take = func(a *Alert) error {
		if away || a.ID == "1" {
			return errAway
		}
		return nil
	}
	k := alerts(4)
	n, h := notifier(t, "{"+someSyslog+"}", k, f)
	for range 5 * mostTries {
		require.ErrorIs(t, n.pass(t.Context()), errAway)
	}
	require.Empty(t, f.took)
	require.Zero(t, n.Stats.Refused.Load())
	require.Zero(t, k.savedAt, "a restart begins with the first")
	away = false
	for range 2 * mostTries {
		_ = n.pass(t.Context())
	}
	require.ElementsMatch(t, []string{"0", "2", "3"}, f.took)
	require.EqualValues(t, 1, n.Stats.Refused.Load())
	require.Positive(t, h.failing.Load())
	require.Equal(t, 4, k.savedAt)

	// What a target refuses for good is given up at once.
	f.took, f.take = nil, func(a *Alert) error {
		if a.ID == "2" {
			return fmt.Errorf("%w: no", errRefused)
		}
		return nil
	}
	n, _ = notifier(t, "{"+someSyslog+"}", alerts(4), f)
	require.NoError(t, n.pass(t.Context()))
	require.Equal(t, []string{"0", "1", "3"}, f.took)
	require.EqualValues(t, 1, n.Stats.Refused.Load())
}

func TestATargetGetsWhatItIsFor(t *testing.T) {
	t.Parallel()
	f := &taking{take: func(*Alert) error { return nil }}
	k := alerts(6)
	for i, put := range [][2]any{
		{"event.kind", "event"}, {"rule.id", "other"}, {"reconbeat.anomaly.score", int64(49)},
		{"reconbeat.anomaly.score", "none"}, {"reconbeat.anomaly.score", 50.0},
	} {
		_, err := k.all[i].PutValue(put[0].(string), put[1])
		require.NoError(t, err)
	}
	require.NoError(t, k.all[5].Fields.Delete("host.name"))
	var hosts []string
	f.take = func(a *Alert) error {
		require.Equal(t, a.Host, field(t, a.Document, "host.name"))
		hosts = append(hosts, a.Host)
		return nil
	}
	n, _ := notifier(t, "{min_score: 50, rules: [network-connection-discovery], "+someSyslog+"}", k, f)
	require.NoError(t, n.pass(t.Context()))
	require.Equal(t, []string{"3", "4", "5"}, f.took)
	require.Equal(t, []string{"web-1", "web-1", "here"}, hosts, "a document of this host does not name it")
	require.Error(t, k.all[5].Fields.Delete("host.name"), "the document is as it was")
}

// Run tries an endpoint that fails for an hour again, with growing pauses, and delivers every alert.
func TestRunTriesAgain(t *testing.T) {
	t.Parallel()
	const longAgo = 40 // attempts
	statuses := slices.Concat([]int{500, 503, 429, 302}, slices.Repeat([]int{500}, longAgo-4), []int{http.StatusOK})
	r := receive(t, statuses...)
	h := &noted{}
	n, err := New(read(t, "{id: x, webhook: {url: '"+r.URL+"'}}"), "web-1", alerts(3), h, logp.NewNopLogger())
	require.NoError(t, err)
	var pauses []time.Duration
	n.after = func(d time.Duration) <-chan time.Time {
		if d > checkEvery {
			pauses = append(pauses, d)
			return time.After(0)
		}
		return time.After(time.Millisecond)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); n.Run(ctx) }()
	var delivered []string
	for range 3 {
		var doc struct{ Event struct{ ID string } }
		require.NoError(t, json.Unmarshal([]byte(<-r.bodies), &doc))
		delivered = append(delivered, doc.Event.ID)
	}
	require.Eventually(t, func() bool { return n.Stats.Delivered.Load() == 3 }, time.Minute, time.Millisecond)
	cancel()
	<-ended
	require.ElementsMatch(t, []string{"0", "1", "2"}, delivered)
	var away time.Duration
	for i, pause := range pauses {
		require.Equal(t, min(firstRetry<<i, longestWait), pause)
		away += pause
	}
	require.Greater(t, away, time.Hour)
	require.EqualValues(t, longAgo, n.Stats.Failed.Load())
	require.Zero(t, n.Stats.Refused.Load())
	require.EqualValues(t, len(pauses), h.failing.Load())
}

// Every mistake in an item is reported, with its key; none shows what may be a secret.
func TestEveryMistakeInAnItemIsReported(t *testing.T) {
	t.Parallel()
	item := Item{
		ID: "a b", MinScore: 101,
		Webhook: &Webhook{URL: "hooks.example/s3cret", ProxyURL: "s3cret", Timeout: -1, Shape: "xml"},
		Syslog:  &Syslog{Network: "sctp", Address: "x", Facility: "local9", Format: "xml", Timeout: -1},
		Program: &Program{Path: "hook", Timeout: -1},
	}
	err := item.Check()
	require.EqualError(t, err, `id: "a b" is not allowed; it must be letters, digits, -, _ and ., at most 64
min_score: 101 is not allowed; it must be 0 to 100
per_hour: 0 is not allowed; it must be 1 or more
webhook: 3 of webhook, syslog and program are set; it must be exactly one
webhook.url: is missing, or not allowed; it must be a URL that begins with http:// or https://
webhook.proxy_url: the value is not allowed; it must be a URL such as http://proxy.example:3128
webhook.timeout: -1ns is not allowed; it must not be negative
webhook.shape: "xml" is not allowed; it must be json, slack, teams or pagerduty
syslog.network: "sctp" is not allowed; it must be udp, tcp, tls, unix
syslog.address: "x" is not allowed; it must be host:port
syslog.facility: "local9" is not allowed; it must be one of kern, user, mail, daemon, auth, syslog, lpr, news, uucp, `+
		`cron, authpriv, ftp, ntp, audit, alert, clock, local0, local1, local2, local3, local4, local5, local6, local7
syslog.format: "xml" is not allowed; it must be text or json
syslog.timeout: -1ns is not allowed; it must not be negative
program.path: "hook" is not allowed; it must be an absolute path
program.timeout: -1ns is not allowed; it must not be negative`)
	for template, says := range map[string]string{
		`{"a": {{ .Line }}}`: "webhook.template: the template makes no JSON", `{{ .Nothing }}`: "webhook.template: filling",
		`{{`: "webhook.template: reading the template", `"{{ .Variables.key }}"`: `no entry for key "key"`,
	} {
		item := NewItem()
		item.ID, item.Webhook = "x", &Webhook{URL: "https://x", Template: template}
		require.ErrorContains(t, item.Check(), says)
	}
}

// A story of several alerts goes to every target that any of its parts would go to. Its marked parts go to nobody,
// unless one is more severe, or a target names rules.
func TestAStorySpeaksForItsParts(t *testing.T) {
	doc := func(action, rule string, severity int, score float64, member bool) *beat.Event {
		f := mapstr.M{
			"event": mapstr.M{"kind": "alert", "action": action, "severity": severity},
			"rule":  mapstr.M{"id": rule}, "reconbeat": mapstr.M{"anomaly": mapstr.M{"score": score},
				"correlation": mapstr.M{"rules": []any{"a", "b"}}},
		}
		if member {
			_, _ = f.Put("reconbeat.correlation.member", true)
		}
		return &beat.Event{Fields: f}
	}
	story, first := doc("correlation", "correlation", 73, 30, false), doc("alert", "a", 21, 60, false)
	part, severe := doc("alert", "b", 21, 60, true), doc("alert", "b", 99, 95, true)
	for name, c := range map[string]struct {
		item                      Item
		story, first, part, worse bool
	}{
		"all":        {item: Item{}, story: true, first: true, worse: true},
		"min_score":  {item: Item{MinScore: 50}, story: true, first: true, worse: true},
		"rule a":     {item: Item{Rules: []string{"a"}}, story: true, first: true},
		"rule b":     {item: Item{Rules: []string{"b"}}, story: true, part: true, worse: true},
		"other rule": {item: Item{Rules: []string{"c"}}},
	} {
		require.Equal(t, c.story, c.item.wanted(story), name)
		require.Equal(t, c.first, c.item.wanted(first), name)
		require.Equal(t, c.part, c.item.wanted(part), name)
		require.Equal(t, c.worse, c.item.wanted(severe), name)
	}
}
