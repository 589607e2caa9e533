// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"html"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"
)

var began = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// match is a raw event of alice's, or of whoever more says.
func match(at time.Time, score float64, visit string, more mapstr.M) *beat.Event {
	f := mapstr.M{
		"event": mapstr.M{"kind": "event", "action": "exec", "dataset": "reconbeat.process"},
		"host":  mapstr.M{"name": "web-1"},
		"user":  mapstr.M{"name": "alice"},
		"process": mapstr.M{"command_line": "ss -tlnp", "args": []string{"ss", "-tlnp"},
			"parent": mapstr.M{"name": "bash"}},
		"reconbeat": mapstr.M{
			"program": "ss",
			"actor":   mapstr.M{"id": "1000", "kind": "login", "name": "alice"},
			"anomaly": mapstr.M{"score": score, "threshold": 25.0},
			"local":   mapstr.M{"weekday": "1 Monday", "hour": "09"},
			"visit":   mapstr.M{"id": visit},
		},
	}
	f.DeepUpdate(more)
	return &beat.Event{Timestamp: at, Fields: f}
}

// alerted is the alert of a web shell.
func alerted(at time.Time, more mapstr.M) *beat.Event {
	doc := match(at, 78.83, "v9", mapstr.M{
		"message": "Unusual network connection discovery by tomcat",
		"event": mapstr.M{"kind": "alert", "action": "alert", "dataset": "reconbeat.alert",
			"reason": "tomcat has never looked at network connections on this host in 41 days; parent dash, no " +
				"terminal"},
		"process": mapstr.M{"command_line": "ss -tunap", "parent": mapstr.M{"name": "dash"}},
		"reconbeat": mapstr.M{
			"actor":   mapstr.M{"id": "999", "kind": "service", "name": "tomcat"},
			"anomaly": mapstr.M{"yearly": 0.23, "parts": mapstr.M{"actor": 5.68, "tty": -0.3, "hour": 0.01}},
			"visit":   mapstr.M{"commands": []string{"id", "ss -tunap"}},
		},
	})
	doc.Fields.DeepUpdate(more)
	return doc
}

func written(t *testing.T, r *Report, f Facts) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, r.Write(&out, f))
	return out.String()
}

// read is what a reader of the page gets.
func read(t *testing.T, r *Report, f Facts) string {
	t.Helper()
	return html.UnescapeString(written(t, r, f))
}

func TestThePageShowsWhatWasFound(t *testing.T) {
	var r Report
	for day := range 40 {
		r.Add(match(began.AddDate(0, 0, day), float64(day), fmt.Sprint("v", day), nil))
	}
	end := began.AddDate(0, 0, 41)
	r.Add(alerted(end, nil))
	r.Add(match(end, 78.83, "v9",
		mapstr.M{"reconbeat": mapstr.M{"actor": mapstr.M{"id": "999", "kind": "service", "name": "tomcat"}}}))
	r.Add(&beat.Event{
		Timestamp: end, Fields: mapstr.M{"message": "backup has become a habit", "event": mapstr.M{"kind": "event",
			"action": "habit", "dataset": "reconbeat.alert", "reason": "backup has looked on 8 days"}},
	})
	page := read(t, &r, Facts{
		Files: []string{
			"audit.log",
		}, Version: "1.2.3", LearnFor: 24 * time.Hour, Execs: 900, Matched: 41, Alerts: 1, Malformed: 3, Unnamed: 2,
	})
	for _, want := range []string{
		"<code>audit.log</code>", "1.2.3", "<b>1</b>alert<", "<b>41</b>matches of 900 program starts", "<b>2</b>actors",
		"<b>41 days</b>",
		"Unusual network connection discovery by tomcat", "parent dash, no terminal", `<span class="score">78.8</span>`,
		"0.23 such visits a year",
		`<span class="part for">actor +5.7</span> <span class="part">tty -0.3</span>`, "id\nss -tunap",
		"backup has become a habit",
		"<b>3</b>malformed records", "3 records could not be read and are passed over", "2 matches name no user",
		`aria-label="Matches over time`, `class="dot critical"`, "threshold 25", "Monday 09:00: 40 matches",
		// 16 visits: those of 25 to 39, and tomcat's.
		`<tr class="now"><td class="n">25 (now)</td><td class="n">16</td><td class="n">11.7</td></tr>`,
		`<td class="n dim">40</td><td class="line">ss -tlnp</td>`,
	} {
		require.Contains(t, page, want)
	}
	require.NotContains(t, page, "hour +0.0", "a part of nothing is left out")
}

// What controls held back is a section of its own, a row for each visit, and counts at no threshold.
func TestThePageShowsWhatControlsHeldBack(t *testing.T) {
	r := Report{Idle: 30 * time.Second}
	held := func(at time.Duration, score float64, visit, held, command string) {
		r.Add(match(began.Add(at), score, visit, mapstr.M{
			"process": mapstr.M{"command_line": command},
			"reconbeat": mapstr.M{"rules": []string{"network-connection-discovery"}, "control": mapstr.M{
				"held": held, "id": []string{"web-check", "night"}, "kind": []string{"exception", "window"}}},
		}))
	}
	held(0, 41, "v1", "alert", "<b>ss</b>")
	held(time.Second, 44.2, "v1", "repeat", "netstat -rn")
	held(time.Minute, 30, "v2", "alert", "ss -tlnp")
	r.Add(match(began.Add(time.Hour), 26, "v3", nil))
	raw := written(t, &r, Facts{Execs: 4, Matched: 4})
	require.NotContains(t, raw, "<b>ss</b>", "a command is text")
	page := html.UnescapeString(raw)
	require.Contains(t, page, "<h2>Held back by controls</h2>")
	require.Contains(t, page, `<td class="n">44.2</td><td class="n">2</td>`)
	require.Contains(t, page, "<td>web-check, night</td>\n<td class=\"line\"><b>ss</b>\nnetstat -rn</td>")
	require.Contains(t, page, `<td class="n">30.0</td><td class="n">1</td>`)
	require.Contains(t, page, `<td class="n">25 (now)</td><td class="n">1</td>`)
	require.Contains(t, page, "What controls held back counts at no threshold.")
	require.NotContains(t, read(t, &Report{}, Facts{}), "Held back")
}

func TestAVisitThatOnlyTeachesIsNoAlertAtAnyThreshold(t *testing.T) {
	var r Report
	r.Add(match(began, 90, "v1", mapstr.M{"reconbeat": mapstr.M{"anomaly": mapstr.M{"learning": true}}}))
	r.Add(match(began.Add(time.Minute), 12, "v2", nil))
	r.Add(match(began.Add(2*time.Minute), 3, "v2", nil)) // the visit counts by its highest
	page := read(t, &r, Facts{LearnFor: 24 * time.Hour, Execs: 3, Matched: 3})
	require.Contains(t, page, `<td class="n">10</td><td class="n">1</td>`)
	require.Contains(t, page, `<td class="n">15</td><td class="n">0</td>`)
	require.Contains(t, page, "1 visit of the first 24 hours, when reconbeat only learns, is left out")
	require.Contains(t, page, "highest score 12.0")
}

func TestThePageSaysWhyNothingAlerted(t *testing.T) {
	var r Report
	r.Add(match(began, 1, "v", nil))
	page := read(t, &r, Facts{Execs: 7, Matched: 1, Silence: "Nothing could alert: what was read spans 5 seconds."})
	require.Contains(t, page, "<p>Nothing could alert: what was read spans 5 seconds.</p>")
	require.Contains(t, read(t, &Report{}, Facts{Silence: "Nothing could alert: no rule is enabled."}),
		"no rule is enabled")
}

func TestASpanIsWrittenAsPeopleSayIt(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"5 seconds": 5 * time.Second, "1 second": 1400 * time.Millisecond, "119 seconds": 119 * time.Second,
		"10 minutes": 10 * time.Minute, "50 minutes": 50*time.Minute + 10*time.Second, "60 minutes": time.Hour - time.Second,
		"1 hour": time.Hour, "4 hours 50 minutes": 4*time.Hour + 50*time.Minute,
		"1 hour 1 minute": time.Hour + time.Minute + 20*time.Second,
		"20 hours":        20*time.Hour + 10*time.Second, "24 hours": 24 * time.Hour, "48 hours": 48*time.Hour - time.Second,
		"2 days": 48 * time.Hour, "10 days": 10*24*time.Hour - 10*time.Minute, "9.6 days": 230 * time.Hour,
	} {
		require.Equal(t, want, Span(d))
	}
}

func TestVisitsAreGroupedByMonthAfterAMonth(t *testing.T) {
	for days, monthly := range map[int]bool{29: false, 31: true} {
		var r Report
		r.Add(match(began, 50, "v1", nil))
		r.Add(match(began.AddDate(0, 0, days), 1, "v2", nil))
		page := read(t, &r, Facts{Execs: 2, Matched: 2})
		require.Equal(t, monthly, strings.Contains(page, "a month"), "%d days", days)
		row := `<td class="n">40</td><td class="n">1</td><td class="n">1.0</td>`
		require.Equal(t, monthly, strings.Contains(page, row), "%d days", days)
	}
}

func TestAHostileDocumentIsTextAndBounded(t *testing.T) {
	var r Report
	hostile := []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</svg></style><iframe src="javascript:1">`,
		"\xff\xfe\x00ss", strings.Repeat("é", 1<<20),
	}
	for i, text := range hostile {
		user := mapstr.M{"reconbeat": mapstr.M{"actor": mapstr.M{"name": text, "id": text}, "visit": mapstr.M{
			"commands": []string{text}, "id": text,
		},
			"local": mapstr.M{
				"weekday": text, "hour": text,
			}, "actor.usual": 1}, "host": mapstr.M{"name": text}, "message": text,
			"event": mapstr.M{"reason": text}, "process": mapstr.M{
				"command_line": text, "parent": mapstr.M{"name": text}, "working_directory": text,
			}}
		r.Add(alerted(began.Add(time.Duration(i)*time.Hour), user))
		user["message"] = nil
		r.Add(match(began.Add(time.Duration(i)*time.Hour), 50, text, user))
	}
	r.Add(&beat.Event{})
	r.Add(match(time.Unix(1<<40, 0), 1, "far", nil))
	for i := range 2 * maxAlerts {
		r.Add(alerted(began, mapstr.M{"reconbeat": mapstr.M{"actor": mapstr.M{"name": fmt.Sprint("user", i)}}}))
	}
	for i := range 2 * maxActors {
		r.Add(match(began, 1, "v", mapstr.M{"reconbeat": mapstr.M{"actor": mapstr.M{"name": fmt.Sprint("user", i)}}}))
	}
	page := written(t, &r, Facts{Files: hostile, Execs: 1, Matched: 1, Alerts: 1})
	for _, active := range []string{"<script", "<img", "<iframe", "ZgotmplZ"} {
		require.NotContains(t, page, active)
	}
	require.Less(t, len(page), 6<<20)
	require.Contains(t, page, "more alerts are left out")
	require.Contains(t, page, "beyond the 5000 that a page keeps")
	require.Contains(t, page, `content="default-src 'none'; style-src 'unsafe-inline'"`)
}

// TestThePageIsDrawn has a browser draw the page as a person sees it, by day and by night.
func TestThePageIsDrawn(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("SKIPPED: NO CHROMIUM HERE: WHETHER A BROWSER DRAWS THE PAGE WAS NOT TESTED")
	}
	var r Report
	for day := range 40 {
		r.Add(match(began.AddDate(0, 0, day), float64(day/10), fmt.Sprint("v", day), nil))
	}
	r.Add(alerted(began.AddDate(0, 0, 41),
		mapstr.M{"process": mapstr.M{"command_line": "ss <script>document.title='run'</script>"}}))
	r.AddMalformed(hostileLine)
	file := filepath.Join(t.TempDir(), "page.html")
	require.NoError(t,
		os.WriteFile(
			file,
			[]byte(
				written(t, &r, Facts{Files: []string{"audit.log"}, Execs: 900, Matched: 40, Alerts: 1, Malformed: 1}),
			),
			0o600,
		))
	seen := map[string]color.Color{}
	for scheme, c := range map[string]struct {
		setting  string
		critical color.RGBA
	}{
		"light": {"1", color.RGBA{0xbd, 0x27, 0x1e, 0xff}},
		"dark":  {"0", color.RGBA{0xf8, 0x6b, 0x63, 0xff}},
	} {
		picture := filepath.Join(t.TempDir(), scheme+".png")
		out, err := exec.Command(browser, "--headless", "--no-sandbox", "--disable-gpu",
			"--blink-settings=preferredColorScheme="+c.setting, "--window-size=1000,1200",
			"--user-data-dir="+t.TempDir(), "--screenshot="+picture, "file://"+file).CombinedOutput()
		require.NoError(t, err, string(out))
		f, err := os.Open(picture)
		require.NoError(t, err)
		drawn, err := png.Decode(f)
		require.NoError(t, f.Close())
		require.NoError(t, err)
		require.Greater(t, count(drawn, c.critical), 200, "%s: the alert's border, its score and its dot", scheme)
		seen[scheme] = drawn.At(2, 2)
	}
	require.NotEqual(t, seen["light"], seen["dark"], "the page follows the reader's colours")
	dom, err := exec.Command(browser, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+t.TempDir(),
		"--dump-dom", "file://"+file).Output()
	require.NoError(t, err)
	require.Contains(t, string(dom), "<title>reconbeat: 1 alert, 40 matches</title>", "nothing in it runs")
	require.Contains(t, string(dom), "ss &lt;script&gt;document.title='run'&lt;/script&gt;")
	require.Contains(t, string(dom), "audit.log, line 7</h3>")
	require.Contains(t, string(dom), `\x1b[2J\x00\xff&lt;script&gt;document.title='run'&lt;/script&gt;\u202etxt.exe`)
}

func count(picture image.Image, c color.RGBA) (n int) {
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			if color.RGBAModel.Convert(picture.At(x, y)) == c {
				n++
			}
		}
	}
	return n
}
