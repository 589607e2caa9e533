// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/beattest"
	"github.com/reconbeat/reconbeat/internal/health"
)

// TLS is checked by the authority that the settings name, and a node that it does not vouch for is not asked.
func TestTLSIsChecked(t *testing.T) {
	f := newFollower(t, nil)
	server := httptest.NewTLSServer(f.cluster)
	t.Cleanup(server.Close)
	f.url = server.URL
	f.cluster.add(start("1", time.Now().Add(-time.Minute), 1))
	f.run(func() bool { return len(f.health.Active()) == 1 })
	require.Equal(t, health.ClusterAway, f.health.Active()[0].Condition)
	require.Contains(t, f.health.Active()[0].Detail, "certificate signed by unknown authority")
	require.Empty(t, f.ids())

	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	f.options = map[string]any{"ssl.certificate_authorities": []string{string(authority)}}
	f.run(f.has(1))
	require.Equal(t, []string{"1"}, f.ids())
}

// A user logs in with a password.
func TestAUserLogsIn(t *testing.T) {
	f := newFollower(t, map[string]any{"username": "reader", "password": "it's secret"})
	f.run(func() bool { return f.stats.Pages.Load() > 0 })
	f.cluster.mu.Lock()
	defer f.cluster.mu.Unlock()
	user, password, _ := f.cluster.seen[0].BasicAuth()
	require.Equal(t, "reader it's secret", user+" "+password)
}

// Requests go through the proxy that the settings name, those of TLS by CONNECT.
func TestRequestsGoThroughTheProxy(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %t", secure), func(t *testing.T) {
			f := newFollower(t, nil)
			f.options = map[string]any{}
			if secure {
				server := httptest.NewTLSServer(f.cluster)
				t.Cleanup(server.Close)
				f.url = server.URL
				f.options["ssl.verification_mode"] = "none"
			}
			var through atomic.Int64
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				through.Add(1)
				pass(t, w, r)
			}))
			t.Cleanup(proxy.Close)
			f.options["proxy_url"] = proxy.URL
			f.cluster.add(start("1", time.Now().Add(-time.Minute), 1))
			f.run(f.has(1))
			require.Positive(t, through.Load())
		})
	}
}

// pass is what a proxy does.
func pass(t *testing.T, w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		r.RequestURI = ""
		answer, err := http.DefaultTransport.RoundTrip(r)
		if failed(t, r, err) {
			return
		}
		defer answer.Body.Close()
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body) // who asked may be gone
		return
	}
	there, err := net.Dial("tcp", r.Host)
	if failed(t, r, err) {
		return
	}
	here, _, err := w.(http.Hijacker).Hijack()
	if failed(t, r, err) {
		return
	}
	fmt.Fprint(here, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { _, _ = io.Copy(there, here); there.Close() }()
	go func() { _, _ = io.Copy(here, there); here.Close() }()
}

// A node that does not answer in time is asked again.
func TestANodeThatHangsIsAskedAgain(t *testing.T) {
	f := newFollower(t, map[string]any{"timeout": "1s"})
	hangs := make(chan struct{})
	t.Cleanup(func() { close(hangs) })
	f.cluster.fault = func(w http.ResponseWriter, r *http.Request, n int) bool {
		if n > 1 {
			return false
		}
		f.cluster.mu.Unlock()
		select {
		case <-hangs:
		case <-r.Context().Done():
		}
		f.cluster.mu.Lock()
		return true
	}
	f.cluster.add(start("1", time.Now().Add(-time.Minute), 1))
	f.run(f.has(1))
	require.Equal(t, []string{"1"}, f.ids())
	require.Positive(t, f.stats.Retries.Load())
}

// Where a node refuses connections the next one is asked.
func TestTheNextNodeIsAsked(t *testing.T) {
	f := newFollower(t, nil)
	f.options = map[string]any{"hosts": []string{"http://" + beattest.Address(t), f.url}}
	f.cluster.add(start("1", time.Now().Add(-time.Minute), 1))
	f.run(f.has(1))
	require.Equal(t, []string{"1"}, f.ids())
	require.EqualValues(t, 1, f.stats.Retries.Load())
}

// jobResults answers for the results of one machine learning job: how many there are, and a page of records.
func jobResults(t *testing.T, status, count int, records string) map[string]any {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet:
			w.WriteHeader(http.StatusForbidden)
		case status != http.StatusOK:
			http.Error(w, `{"error":{"type":"security_exception","reason":"no right"}}`, status)
		case strings.HasSuffix(r.URL.Path, "/_count"):
			fmt.Fprintf(w, `{"count":%d}`, count)
		default:
			if r.URL.Path != "/.ml-anomalies-*/_search" {
				t.Errorf("%s is asked", r.URL.Path)
			}
			fmt.Fprintf(w, `{"timed_out":false,"_shards":{"failed":0},"hits":{"hits":[%s]}}`, records)
		}
	}))
	t.Cleanup(server.Close)
	return map[string]any{"hosts": []string{server.URL}, "backoff_init": "1ms"}
}

// The records of a job are read with the score that they had when the bucket closed.
func TestAJobsRecordsAreRead(t *testing.T) {
	ask := func(cfg map[string]any) ([]Anomaly, error) {
		return Anomalies(context.Background(), conf.MustNewConfigFrom(cfg), logp.NewNopLogger(), "job", time.UnixMilli(0),
			time.Now())
	}
	hit := func(fields string) string {
		return `{"_index":".ml-anomalies-shared","_id":"1","sort":[1700000100000,5],` +
			`"_source":{"bucket_span":900,` + fields + `}}`
	}
	got, err := ask(jobResults(t, http.StatusOK, 9, hit(`"by_field_name":"user.name","by_field_value":"eve",
		"initial_record_score":70.5,"record_score":30,"probability":0.001`)+","+
		hit(`"by_field_name":"user.name","by_field_value":"bob","record_score":12`)))
	require.NoError(t, err)
	require.Equal(t, []Anomaly{
		{Start: time.UnixMilli(1700000100000), Span: 15 * time.Minute, User: "eve", Score: 70.5, Probability: 0.001},
		{Start: time.UnixMilli(1700000100000), Span: 15 * time.Minute, User: "bob", Score: 12},
	}, got)

	_, err = ask(jobResults(t, http.StatusOK, 0, ""))
	require.ErrorIs(t, err, errNoJob)
	_, err = ask(jobResults(t, http.StatusOK, 1, hit(`"by_field_name":"process.name"`)))
	require.ErrorContains(t, err,
		`.ml-anomalies-shared/_doc/1: by_field_name is "process.name"; only what is rare by user.name`)
	_, err = ask(jobResults(t, http.StatusForbidden, 1, ""))
	require.ErrorContains(t, err, "reading what the job job has found: the cluster refuses")
}
