// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/state"
)

// targets are notifiers of a configuration on a state.
func targets(t *testing.T, dir string, board *health.Board, list string) notifiers {
	c, err := conf.NewConfigWithYAML([]byte("notify: "+list), "test")
	require.NoError(t, err)
	cfg, err := config.Parse(c)
	require.NoError(t, err)
	all, err := newNotifiers(cfg, dir, "web-1", board, logp.NewNopLogger())
	require.NoError(t, err)
	return all
}

// A condition begins when a target does not take an alert, and ends when it does. What is no alert is not delivered; a
// target whose place cannot be read begins with the next alert, and one that is no longer configured is forgotten.
func TestATargetsConditionBeginsAndEnds(t *testing.T) {
	var away atomic.Bool
	away.Store(true)
	bodies := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		var doc struct {
			Event struct{ ID string }
			Host  struct{ Name string }
		}
		if err := json.NewDecoder(r.Body).Decode(&doc); err == nil {
			bodies <- doc.Event.ID + " on " + doc.Host.Name
		}
	}))
	defer server.Close()
	list := fmt.Sprintf("[{id: chat, webhook: {url: '%s'}}]", server.URL)
	dir := t.TempDir()
	store, err := state.Open(dir, state.Options{})
	require.NoError(t, err)
	defer store.Close()
	write := func(id, kind string) {
		line, err := encode(&beat.Event{Timestamp: time.Unix(1, 0), Fields: mapstr.M{
			"event": mapstr.M{"id": id, "kind": kind}, "message": "m",
		}})
		require.NoError(t, err)
		_, err = store.Append(state.Entry{ID: id, Durable: true, Time: time.Unix(1, 0), Document: line})
		require.NoError(t, err)
	}
	board := &health.Board{}
	holds := func() bool { return len(board.Active()) == 1 }

	all := targets(t, dir, board, list)
	stop := all.start()
	write("summary", "event")
	write("one", "alert")
	require.Eventually(t, holds, time.Minute, time.Millisecond)
	require.Equal(t, health.NotificationFailing, board.Active()[0].Condition)
	require.Equal(t, "chat", board.Active()[0].Subject)
	require.Contains(t, board.Active()[0].Detail, "500 Internal Server Error")
	require.Equal(t, "degraded", board.Status())
	away.Store(false)
	require.Equal(t, "one on web-1", <-bodies)
	require.Eventually(t, func() bool { return !holds() }, time.Minute, time.Millisecond)
	stop()
	require.EqualValues(t, 1, all[0].Stats.Delivered.Load())

	place := filepath.Join(dir, "alerts", "chat.place")
	require.NoError(t, os.WriteFile(place, []byte("{"), 0o600))
	all = targets(t, dir, board, list)
	stop = all.start()
	write("two", "alert")
	require.Equal(t, "two on web-1", <-bodies)
	stop()
	require.FileExists(t, place)
	targets(t, dir, board, "[]")
	require.NoFileExists(t, place)
}

// Under an Elastic Agent, alerts go where its policy says.
func TestNoTargetsUnderAnElasticAgent(t *testing.T) {
	s := &sensor{config: config.Default()}
	s.config.Notify = []*conf.C{conf.NewConfig()}
	require.ErrorContains(t, s.manage(&beat.Beat{}), "reconbeat.notify is not allowed under an Elastic Agent")
}
