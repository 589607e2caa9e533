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
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/health"
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
