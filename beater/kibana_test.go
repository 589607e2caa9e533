// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/module/elasticsearch"
	"github.com/reconbeat/reconbeat/process"
)

// A cluster that refuses is a condition, which ends when it answers, and when another policy no longer has it asked.
func TestKibanaThatCannotBeReadIsACondition(t *testing.T) {
	var refuses atomic.Bool
	refuses.Store(true)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuses.Load() {
			w.WriteHeader(http.StatusForbidden)
		}
		fmt.Fprint(w, `{"hits":{"hits":[]}}`)
	}))
	t.Cleanup(server.Close)
	board := &health.Board{}
	l := &loop{engine: testEngine(t), calls: make(chan func()), ended: make(chan struct{}), logger: logp.NewNopLogger()}
	go func() {
		for call := range l.calls {
			call()
		}
	}()
	defer close(l.calls)
	k := newKibana(l, t.TempDir(), board, logp.NewNopLogger())
	k.order = []string{"an alert"}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); k.run(ctx) }()

	use := func(settings map[string]any) {
		cfg := config.Default()
		cfg.Feedback.FromKibana = conf.MustNewConfigFrom(settings)
		reader, err := triage(cfg, logp.NewNopLogger())
		require.NoError(t, err)
		k.use(reader)
	}
	asked := map[string]any{"hosts": []string{server.URL}, "period": "1s"}
	use(asked)
	eventually(t, func() bool { return len(board.Active()) == 1 }, "no condition")
	require.Equal(t, health.FeedbackUnread, board.Active()[0].Condition)
	require.Contains(t, board.Active()[0].Detail, "403")
	require.Positive(t, k.failures.Load())
	refuses.Store(false)
	eventually(t, func() bool { return len(board.Active()) == 0 }, "it does not end")

	refuses.Store(true)
	eventually(t, func() bool { return len(board.Active()) == 1 }, "no condition again")
	asked["enabled"] = false
	use(asked)
	eventually(t, func() bool { return len(board.Active()) == 0 }, "it holds though nobody asks")
	cancel()
	<-ended
}

func TestFeedbackFromKibanaIsChecked(t *testing.T) {
	cfg := config.Default()
	cfg.Feedback.FromKibana = conf.MustNewConfigFrom(map[string]any{"hosts": []string{"ftp://x"}, "space": "A Team"})
	_, err := triage(cfg, logp.NewNopLogger())
	require.ErrorContains(t, err, `reconbeat.feedback.from_kibana.hosts.0: "ftp://x" is not allowed`)
	require.ErrorContains(t, err, `reconbeat.feedback.from_kibana.space: "A Team" is not allowed`)
}

// What is said of a story stands for its parts, unless something is said of one of them.
func TestFeedbackOnAStoryIsOnItsParts(t *testing.T) {
	doc := func(fields mapstr.M) mapstr.M {
		nested := mapstr.M{}
		for name, v := range fields {
			_, err := nested.Put(name, v)
			require.NoError(t, err)
		}
		return nested
	}
	story := doc(mapstr.M{
		"event.kind": "alert", "event.action": "correlation", "event.id": "s", "rule.id": "correlation",
		"reconbeat.anomaly.score": 30.0, "reconbeat.correlation.id": "s",
		"reconbeat.correlation.members": []any{"a", "b"},
	})
	require.False(t, OfMatch(story), "a story is no match")
	require.True(t, IsStory(story))
	require.Equal(t, []string{"a", "b"}, Parts(story))

	k := kibana{parts: map[string][]string{"s": {"a", "b", "c"}}}
	for _, row := range []struct {
		name       string
		said, want []elasticsearch.Word
	}{
		{
			name: "nothing of the parts, which Kibana does not have",
			said: []elasticsearch.Word{{AlertID: "s", Verdict: "benign", Mark: "False Positive", By: "eve"}},
			want: []elasticsearch.Word{
				{AlertID: "a", Verdict: "benign", Mark: "False Positive", By: "eve"},
				{AlertID: "b", Verdict: "benign", Mark: "False Positive", By: "eve"},
				{AlertID: "c", Verdict: "benign", Mark: "False Positive", By: "eve"},
			},
		},
		{
			name: "of one part something else, and one has no mark",
			said: []elasticsearch.Word{
				{AlertID: "a", Verdict: "malicious"}, {AlertID: "b"}, {AlertID: "s", Verdict: "benign"},
			},
			want: []elasticsearch.Word{
				{AlertID: "a", Verdict: "malicious"}, {AlertID: "b", Verdict: "benign"},
				{AlertID: "c", Verdict: "benign"},
			},
		},
		{
			name: "the mark was taken away",
			said: []elasticsearch.Word{{AlertID: "s"}, {AlertID: "other", Verdict: "unsure"}},
			want: []elasticsearch.Word{
				{AlertID: "other", Verdict: "unsure"}, {AlertID: "a"}, {AlertID: "b"}, {AlertID: "c"},
			},
		},
	} {
		require.Equal(t, row.want, k.ofParts(row.said), row.name)
	}
}

// TestFeedbackIsOnTheActorOfTheAlert has the actor of an alert's document be the one of its finding: with no container,
// it would be the account of the host.
func TestFeedbackIsOnTheActorOfTheAlert(t *testing.T) {
	for _, want := range []detector.Actor{
		{ID: 33, Name: "www-data", Service: true, Container: "shop/web/nginx"},
		{ID: process.Unset, Name: "alice"},
	} {
		doc := mapstr.M{}
		want.Encode(doc)
		require.Equal(t, want, FeedbackOn(doc).Actor)
	}
}
