// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// alertsPage is the page that shows alerts in full.
const alertsPage = "../docs/alerts.md"

// everywhere are the fields that libbeat adds to every document; the page leaves them out.
var everywhere = []string{"@metadata", "agent", "ecs", "host", "service"}

// passing are the fields that depend on what else has happened on the test's host, and on how soon a login, or a
// program whose file is removed, ends.
var passing = []string{"source.port", "reconbeat.account.logins_from_source", "reconbeat.account.refused_logins",
	"reconbeat.account.authorized_keys", "reconbeat.account.files.sudoers", "process.hash", "related.hash",
	"process.parent.hash", "reconbeat.executable", "reconbeat.anomaly.parts.session"}

// documented holds an alert of a live test against the one that the page shows: it has the same fields, with other
// values. With -update the page shows this one.
func (l *live) documented(block string, doc mapstr.M) {
	l.t.Helper()
	shown := doc.Clone()
	for _, name := range everywhere {
		_ = shown.Delete(name) // it may have none
	}
	page, err := os.ReadFile(alertsPage)
	require.NoError(l.t, err)
	found := shownAlert(block).FindSubmatchIndex(page)
	require.NotNil(l.t, found, "the page has no block %s", block)
	if *update {
		var text bytes.Buffer
		plain := json.NewEncoder(&text)
		plain.SetEscapeHTML(false)
		plain.SetIndent("", "  ")
		require.NoError(l.t, plain.Encode(shown))
		host, err := os.Hostname()
		require.NoError(l.t, err)
		anonymous := strings.NewReplacer(l.dir, "/tmp/x", liveAdmin, "alice", liveNewbie, "mallory", liveDaemon, "www-data",
			liveFresh, "bob", "rbopsteam", "ops", `"`+host+`"`, `"web-1"`, "`"+host+"`", "`web-1`",
			hostID(doc), "5b1c9b6f0a7f4b0f9a53b0f4d1f7e0aa")
		written := slices.Concat(page[:found[2]], []byte(anonymous.Replace(strings.TrimSpace(text.String()))),
			page[found[3]:])
		require.NoError(l.t, os.WriteFile(alertsPage, written, 0o644))
		return
	}
	text, err := json.Marshal(shown)
	require.NoError(l.t, err)
	assert.Equal(l.t, fieldsIn(l.t, page[found[2]:found[3]]), fieldsIn(l.t, text),
		"the page's alert %s has other fields: run this test with -update", block)
}

// shownAlert matches an alert on the page: its name, and the document.
func shownAlert(name string) *regexp.Regexp {
	return regexp.MustCompile("(?s)```json alert=" + name + "\n(.*?)\n```")
}

// TestStackTakesTheAlertsOfTheManual has the alerts of live tests, with all that this host knows of accounts and files,
// indexed by the strict templates.
func TestStackTakesTheAlertsOfTheManual(t *testing.T) {
	node, _ := cluster(t, newHost(t))
	page, err := os.ReadFile(alertsPage)
	require.NoError(t, err)
	shown := shownAlert("[a-z-]+").FindAllSubmatch(page, -1)
	require.Len(t, shown, 5)
	for _, block := range shown {
		var doc mapstr.M
		require.NoError(t, json.Unmarshal(block[1], &doc))
		put(doc, "ecs.version", "9.0.0") // what the output's templates expect of libbeat
		node.Request(t, http.MethodPut, "/logs-reconbeat.alert-page/_create/"+text(doc, "event.id"), doc)
	}
	kept := node.Documents(t, "logs-reconbeat.alert-page")
	require.Len(t, kept, len(shown))
	for _, d := range kept {
		require.NotEmpty(t, text(d.Source, "event.ingested"))
	}
}

// hostID is the id of the host that a document is of, or what no document has.
func hostID(doc mapstr.M) string { return cmp.Or(text(doc, "host.id"), "\x00") }

// fieldsIn are the names of a document's fields, those of objects in lists, too.
func fieldsIn(t testing.TB, text []byte) []string {
	var doc map[string]any
	require.NoError(t, json.Unmarshal(text, &doc))
	names := map[string]bool{}
	namesIn(doc, "", names)
	maps.DeleteFunc(names, func(name string, _ bool) bool {
		return slices.ContainsFunc(passing, func(p string) bool { return name == p || strings.HasPrefix(name, p+".") })
	})
	return slices.Sorted(maps.Keys(names))
}
