// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/stretchr/testify/require"
)

// triageOf asks a cluster that answers with answer about ids.
func triageOf(
	t *testing.T, ids []string, answer func(w http.ResponseWriter, request map[string]any),
) ([]Word, []string, error) {
	var paths []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			return // of a connection that begins
		}
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		var request map[string]any
		require.NoError(t, json.Unmarshal(body, &request))
		paths = append(paths, r.Method+" "+r.URL.Path)
		w.Header().Set("Content-Type", "application/json")
		answer(w, request)
	}))
	t.Cleanup(server.Close)
	reader, err := NewTriage(conf.MustNewConfigFrom(map[string]any{
		"hosts": []string{server.URL}, "space": "blue", "unsure": []string{"Further investigation required", "acknowledged"},
	}), logp.NewNopLogger())
	require.NoError(t, err)
	t.Cleanup(reader.Close)
	words, err := reader.Words(t.Context(), ids)
	return words, paths, err
}

// kibanaAlert is an alert as a search returns it.
func kibanaAlert(id, status, reason string, tags ...string) string {
	f := map[string][]string{originalID: {id}, ownID: {id}, workflowState: {status}, workflowTags: tags}
	if reason != "" {
		f[workflowClose] = []string{reason}
	}
	text, _ := json.Marshal(map[string]any{"_index": "i", "_id": "k" + id, "fields": f, "sort": []int{1, 2}})
	return string(text)
}

// hitsOf is an answer with these documents.
func hitsOf(docs ...string) string {
	return `{"timed_out":false,"_shards":{"failed":0},"hits":{"hits":[` + strings.Join(docs, ",") + `]}}`
}

func TestWhatAnalystsSayInKibana(t *testing.T) {
	const investigate = "Further investigation required"
	for name, tt := range map[string]struct {
		alerts []string
		want   string // verdict and mark
	}{
		"nothing":             {[]string{kibanaAlert("a", "open", "")}, " "},
		"a strange tag":       {[]string{kibanaAlert("a", "open", "", "Duplicate", "false positive")}, " "},
		"a tag":               {[]string{kibanaAlert("a", "open", "", "x", "False Positive")}, "benign False Positive"},
		"closed alone":        {[]string{kibanaAlert("a", "closed", "")}, " "},
		"closed as":           {[]string{kibanaAlert("a", "closed", "benign_positive")}, "benign benign_positive"},
		"closed as malicious": {[]string{kibanaAlert("a", "closed", "true_positive")}, "malicious true_positive"},
		"closed as another":   {[]string{kibanaAlert("a", "closed", "duplicate")}, " "},
		"closed at last": {
			[]string{kibanaAlert("a", "closed", "false_positive", investigate)}, "benign false_positive",
		},
		"a graver tag": {
			[]string{kibanaAlert("a", "closed", "false_positive", "True Positive")}, "malicious True Positive",
		},
		"the gravest tag": {
			[]string{kibanaAlert("a", "open", "", "False Positive", investigate)}, "unsure " + investigate,
		},
		"a status":           {[]string{kibanaAlert("a", "acknowledged", "")}, "unsure acknowledged"},
		"a tag and a status": {[]string{kibanaAlert("a", "acknowledged", "", "False Positive")}, "benign False Positive"},
		"several rules": {
			[]string{kibanaAlert("a", "open", ""), kibanaAlert("a", "open", "", "False Positive")}, "benign False Positive",
		},
		"several rules, malicious": {[]string{
			kibanaAlert("a", "open", "", "False Positive"), kibanaAlert("a", "open", "", "True Positive"),
		}, "malicious True Positive"},
	} {
		t.Run(name, func(t *testing.T) {
			words, paths, err := triageOf(t, []string{"a", "b"}, func(w http.ResponseWriter, request map[string]any) {
				fmt.Fprint(w, hitsOf(tt.alerts...))
			})
			require.NoError(t, err)
			require.Equal(t, []string{"POST /.alerts-security.alerts-blue/_search"}, paths)
			require.Len(t, words, 1)
			require.Equal(t, "a "+tt.want, words[0].AlertID+" "+words[0].Verdict+" "+words[0].Mark)
		})
	}
}

// Many alerts are asked about in several searches, and nobody is asked about none.
func TestManyAlertsAreAskedAboutInPages(t *testing.T) {
	var ids []string
	for i := range 2*batch + 1 {
		ids = append(ids, fmt.Sprintf("id-%04d", i))
	}
	words, paths, err := triageOf(t, ids, func(w http.ResponseWriter, request map[string]any) {
		text, _ := json.Marshal(request)
		var docs []string
		for _, id := range ids {
			if strings.Contains(string(text), `"`+id+`"`) {
				docs = append(docs, kibanaAlert(id, "open", "", "False Positive"))
			}
		}
		fmt.Fprint(w, hitsOf(docs...))
	})
	require.NoError(t, err)
	require.Len(t, paths, 3)
	require.Len(t, words, len(ids))

	words, paths, err = triageOf(t, nil, func(http.ResponseWriter, map[string]any) {})
	require.NoError(t, err)
	require.Empty(t, words)
	require.Empty(t, paths)
}

// An answer that is none, or lacks something, is an error: a mark that was not read is no mark that was taken away.
func TestTriageReportsWhatItCannotRead(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		answer string
		want   string
	}{
		"another space": {
			404, `{"error":{"type":"index_not_found_exception","reason":"no such index [.alerts-security.alerts-blue]"}}`,
			"no such index [.alerts-security.alerts-blue]",
		},
		"no privilege": {
			403, `{"error":{"type":"security_exception","reason":"action [indices:data/read/search] is unauthorized"}}`,
			"is unauthorized",
		},
		"the cluster's fault": {503, `{}`, "503"},
		"no JSON":             {200, `<html>`, "reading the answer to a search"},
		"shards":              {200, `{"_shards":{"failed":2},"hits":{"hits":[]}}`, "lacks the documents of 2 shards"},
		"remote cluster": {
			200, `{"_clusters":{"total":3,"successful":1,"skipped":2,"details":{"(local)":{"status":"successful"},` +
				`"us":{"status":"skipped"},"eu":{"status":"skipped","failures":[{"shard":-1,"reason":` +
				`{"type":"connect_transport_exception","reason":"Unable to connect to [eu]"}}]}}}}`,
			"lacks the documents of 2 remote clusters; " +
				"eu: connect_transport_exception: Unable to connect to [eu]; us",
		},
		"timed out": {200, `{"timed_out":true,"hits":{"hits":[]}}`, "timed out in the cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			words, _, err := triageOf(t, []string{"a"}, func(w http.ResponseWriter, _ map[string]any) {
				w.WriteHeader(tt.status)
				fmt.Fprint(w, tt.answer)
			})
			require.ErrorContains(t, err, tt.want)
			require.Empty(t, words)
		})
	}
}

func TestTriageChecksItsOptions(t *testing.T) {
	_, err := NewTriage(conf.MustNewConfigFrom(map[string]any{
		"hosts": []string{"ftp://x"}, "space": "A Team", "period": "1ms", "api_key": "a:b", "username": "u",
		"malicious": []string{"False Positive", ""}, "spaces": "x",
	}), logp.NewNopLogger())
	require.Error(t, err)
	for _, want := range []string{
		`spaces: no such setting`,
		`hosts.0: "ftp://x" is not allowed; it must be a URL such as https://es.example:9200, or HOST:PORT`,
		`api_key: it is set beside username or password`,
		`space: "A Team" is not allowed; it must be the id of a space in Kibana`,
		`period: 1ms is not allowed; it must be 1s to 24h0m0s`,
		`malicious.1: "" is not allowed; it must be a tag, a reason for closing, or a status`,
		`benign.0: "False Positive" is in malicious already; a mark stands for one verdict`,
	} {
		require.ErrorContains(t, err, want)
	}
	_, err = NewTriage(conf.NewConfig(), logp.NewNopLogger())
	require.EqualError(t, err, "hosts: it is empty; name the cluster's nodes")
}

// Answers to other questions say nothing of our alerts.
func TestStrangersAlertsSayNothing(t *testing.T) {
	words, _, err := triageOf(t, []string{"a"}, func(w http.ResponseWriter, request map[string]any) {
		fmt.Fprint(w, hitsOf(kibanaAlert("z", "open", "", "True Positive"), `{"fields":{"`+originalID+`":["x","a"],"`+
			workflowTags+`":["False Positive"]},"sort":[1,2]}`))
	})
	require.NoError(t, err)
	require.Equal(t, []Word{{AlertID: "a", Verdict: benign, Mark: "False Positive"}}, words)
}

// FuzzTriage reads whatever a cluster may answer to a search about alerts.
func FuzzTriage(f *testing.F) {
	f.Add(hitsOf(kibanaAlert("a", "open", "", "False Positive"), kibanaAlert("b", "closed", "true_positive")))
	f.Add(hitsOf(kibanaAlert("a", "open", ""), kibanaAlert("a", "acknowledged", "", "True Positive", "x")))
	f.Add(`{"hits":{"hits":[{"fields":{"event.id":["a",7,null],"kibana.alert.workflow_user":["\xff"]},"sort":[1,2]}]}}`)
	f.Add(`{"timed_out":true,"_shards":{"failed":1},"hits":{"hits":[{"sort":[1]}]}}`)
	ids := []string{"a", "b"}
	verdicts := []string{benign, malicious, unsure}
	reader, err := NewTriage(conf.MustNewConfigFrom(map[string]any{"hosts": []string{"localhost:9200"}}),
		logp.NewNopLogger())
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, text string) {
		words, err := reader.wordsOf([]byte(text), ids)
		if err != nil {
			require.Empty(t, words)
			return
		}
		seen := map[string]bool{}
		for _, w := range words {
			require.Contains(t, ids, w.AlertID)
			require.False(t, seen[w.AlertID], "one word of each alert")
			seen[w.AlertID] = true
			if w.Verdict == "" {
				require.Empty(t, w.Mark)
				continue
			}
			require.Contains(t, verdicts, w.Verdict)
			require.Contains(t, slices.Concat(reader.Benign, reader.Malicious, reader.Unsure), w.Mark)
		}
	})
}
