// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	syslogreader "github.com/elastic/beats/v7/libbeat/reader/syslog"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/logp/logptest"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/reconbeat/reconbeat/internal/beattest"
)

func TestMain(m *testing.M) {
	if file := os.Getenv(reduced); file != "" {
		item := Item{ID: "x", Program: &Program{Path: file}}
		err := Try(context.Background(), item, alert("1"), logp.NewNopLogger())
		if err == nil {
			err = errors.New("delivered")
		}
		fmt.Println(err)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// hostile is what a process may be called: markup, a change of direction, a broken character, the end of a line.
const hostile = "ss <!channel> [x](http://evil) \"} {{.}} \\ \x1b[31m\r\n<13>1 - \u202e\u2028 \xff\x00 'é' \U0001f600"

// alert is an alert whose texts a hostile process has chosen.
func alert(id string) *Alert {
	return of(event(id), "here")
}

func event(id string) *beat.Event {
	return &beat.Event{Timestamp: time.Date(2026, 11, 28, 3, 40, 53, 7e6, time.UTC), Fields: mapstr.M{
		"event":   mapstr.M{"id": id, "kind": "alert", "severity": int64(47), "reason": "mallory: " + hostile},
		"message": "Unusual network connection discovery by " + hostile, "host": mapstr.M{"name": "web-1"},
		"rule": mapstr.M{"id": "network-connection-discovery"}, "process": mapstr.M{"command_line": hostile},
		"reconbeat": mapstr.M{"actor": mapstr.M{"name": "mallory"}, "anomaly": mapstr.M{"score": 85.5}},
	}}
}

// read makes an item of YAML, as a user writes it.
func read(t *testing.T, text string) Item {
	c, err := conf.NewConfigWithYAML([]byte(text), "test")
	require.NoError(t, err)
	item := NewItem()
	require.NoError(t, c.Unpack(&item))
	require.NoError(t, item.Check())
	return item
}

func try(t *testing.T, item Item, a *Alert) error {
	return Try(t.Context(), item, a, logp.NewNopLogger())
}

// receiver is an HTTP endpoint that keeps what is posted.
type receiver struct {
	*httptest.Server
	bodies chan string
}

// receive answers with the statuses, one after the other, the last one again and again.
func receive(t *testing.T, statuses ...int) *receiver {
	r := &receiver{bodies: make(chan string, 1000)}
	n := 0
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		status := statuses[min(n, len(statuses)-1)]
		n++
		if status/100 == 3 {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
		if status/100 == 2 {
			r.bodies <- string(body)
		} else {
			fmt.Fprintf(w, "no: %s %s\x1b", req.URL.Path, req.Header.Get("Authorization"))
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// Every shape is JSON whatever the texts are, says no more than it should, and has the texts in their places.
func TestShapesAreJSON(t *testing.T) {
	t.Parallel()
	const template = `{"a": {{ json .Command }}, "b": {{ json (cut 5 .Reason) }}, "c": {{ json .Variables.team }}}`
	for _, c := range []struct {
		item string
		has  map[string]string // by path
	}{
		{item: `{shape: json}`, has: map[string]string{
			"event.id": "1", "process.command_line": strings.ToValidUTF8(hostile, "\ufffd"),
			"@timestamp": "2026-11-28T03:40:53.007Z",
		}},
		{item: `{shape: slack}`, has: map[string]string{"blocks.0.text.type": "plain_text"}},
		{item: `{shape: teams}`, has: map[string]string{
			"type": "message", "attachments.0.contentType": "application/vnd.microsoft.card.adaptive",
			"attachments.0.content.body.1.type": "RichTextBlock",
		}},
		{item: `{shape: pagerduty, variables: {routing_key: "k\"ey"}}`, has: map[string]string{
			"routing_key": `k"ey`, "event_action": "trigger", "dedup_key": "1", "payload.severity": "warning",
			"payload.source": "web-1", "payload.custom_details.event.id": "1",
			"payload.timestamp": "2026-11-28T03:40:53.007Z",
		}},
		{item: fmt.Sprintf("{template: '%s', variables: {team: blue}}", template), has: map[string]string{
			"a": strings.ToValidUTF8(hostile, "\ufffd"), "b": "mall…", "c": "blue",
		}},
	} {
		r := receive(t, http.StatusOK)
		item := read(t, "{id: x, webhook: "+strings.Replace(c.item, "{", "{url: '"+r.URL+"', ", 1)+"}")
		for _, a := range []*Alert{alert("1"), heldBack("web-1", 7, time.Now()), Sample("", time.Now())} {
			require.NoError(t, try(t, item, a), c.item)
			body := <-r.bodies
			require.True(t, json.Valid([]byte(body)), body)
			if a.ID != "1" {
				continue
			}
			require.NotContains(t, body, `"text":"<!channel>`)
			got, err := conf.NewConfigWithYAML([]byte(body), "body")
			require.NoError(t, err, body)
			for path, want := range c.has {
				value, err := got.String(path, -1)
				require.NoError(t, err, "%s of %s", path, body)
				require.Equal(t, want, value, path)
			}
			if strings.Contains(c.item, "slack") {
				text, err := got.String("text", -1)
				require.NoError(t, err)
				require.Contains(t, text, "&lt;!channel&gt;")
				require.NotContains(t, text, "<")
				require.NotContains(t, text, "\u202e")
			}
		}
	}
}

func TestALineIsOneLine(t *testing.T) {
	t.Parallel()
	a := alert("1")
	a.Command += strings.Repeat("é", 10000)
	line := a.Line()
	require.LessOrEqual(t, len(line), mostLine)
	require.Regexp(t, `^Unusual network connection discovery by ss <!channel> .* on web-1: mallory: .*…$`, line)
	require.NotRegexp(t, `[\x00-\x1f\x7f\x{202e}\x{2028}]`, line)
	require.Regexp(t, "^reconbeat held back 1 alert on web-1: ", heldBack("web-1", 1, time.Now()).Line())
}

// What an endpoint answers decides whether an alert is tried again; no message shows a secret.
func TestAWebhooksAnswers(t *testing.T) {
	t.Parallel()
	for status, c := range map[int]struct {
		refused bool
		says    string // empty: it is taken
	}{
		200: {}, 202: {}, 204: {},
		301: {says: "redirects are not followed: the answer is 301 Moved Permanently"},
		307: {says: "redirects are not followed"},
		400: {refused: true, says: "the target refuses this alert: the answer is 400 Bad Request: no: xxxxx xxxxx\ufffd"},
		401: {says: "401 Unauthorized"}, 404: {says: "404 Not Found"}, 413: {refused: true, says: "413"},
		422: {refused: true, says: "422"}, 429: {says: "429 Too Many Requests"}, 500: {says: "500 Internal Server Error"},
	} {
		r := receive(t, status)
		item := read(t, "id: x\nwebhook: {url: '"+r.URL+"/services/s3cret', headers: {Authorization: 'Bearer s3cret'}}\n")
		err := try(t, item, alert("1"))
		require.Equal(t, c.refused, errors.Is(err, errRefused), "%d: %v", status, err)
		if c.says == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, c.says)
		require.NotContains(t, err.Error(), "s3cret")
		r.Close()
		err = try(t, item, alert("1"))
		require.ErrorContains(t, err, "posting: ")
		require.NotErrorIs(t, err, errRefused)
		require.NotContains(t, err.Error(), "s3cret")
	}
}

// An endpoint that hangs is given up after the timeout, and at once when reconbeat ends.
func TestAWebhookThatHangs(t *testing.T) {
	t.Parallel()
	asked, release := make(chan struct{}, 10), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		if r.URL.Path == "/patient" { // on a busy machine the other one is over before it gets here
			asked <- struct{}{}
		}
		<-release
	}))
	defer server.Close()
	defer close(release)
	err := try(t, read(t, "{id: x, webhook: {url: '"+server.URL+"/s3cret', timeout: 50ms}}"), alert("1"))
	require.ErrorContains(t, err, "Client.Timeout exceeded")
	require.NotContains(t, err.Error(), "s3cret")
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	err = Try(ctx, read(t, "{id: x, webhook: {url: '"+server.URL+"/patient', timeout: 1h}}"), alert("1"),
		logp.NewNopLogger())
	require.ErrorIs(t, err, context.Canceled)
}

// parsed is a message as libbeat's reader understands it.
func parsed(t *testing.T, message string) mapstr.M {
	fields, at, err := syslogreader.ParseMessage(message, syslogreader.FormatRFC5424, time.UTC)
	require.NoError(t, err, message)
	require.Equal(t, "2026-11-28T03:40:53.007Z", at.UTC().Format(stamp))
	return fields
}

func field(t *testing.T, m mapstr.M, name string) string {
	v, err := m.GetValue(name)
	require.NoError(t, err, "%s of %v", name, m)
	return fmt.Sprint(v)
}

// framed reads messages with their lengths, as RFC 6587 has them.
func framed(c net.Conn, messages chan<- string) {
	in := bufio.NewReader(c)
	for {
		length, err := in.ReadString(' ')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSpace(length))
		if err != nil {
			messages <- "not framed: " + length
			return
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(in, b); err != nil {
			return
		}
		messages <- string(b)
	}
}

// Over every network, what arrives is a message of RFC 5424 that libbeat's reader takes apart.
func TestSyslogIsUnderstood(t *testing.T) {
	t.Parallel()
	messages := make(chan string, 10)
	datagrams := func(network, address string) net.PacketConn {
		c, err := net.ListenPacket(network, address)
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		go func() {
			b := make([]byte, 65536)
			for {
				n, _, err := c.ReadFrom(b)
				if err != nil {
					return
				}
				messages <- string(b[:n])
			}
		}()
		return c
	}
	stream := func(l net.Listener, err error) net.Listener {
		require.NoError(t, err)
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() { defer c.Close(); framed(c, messages) }()
			}
		}()
		return l
	}
	pair := httptest.NewUnstartedServer(nil)
	pair.StartTLS()
	defer pair.Close()
	authority := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(authority,
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate().Raw}), 0o600))
	socket := filepath.Join(t.TempDir(), "log")
	udp := datagrams("udp", "127.0.0.1:0").LocalAddr().String()
	datagrams("unixgram", socket)
	tcp := stream(net.Listen("tcp", "127.0.0.1:0")).Addr().String()
	secure := stream(tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: pair.TLS.Certificates})).Addr().String()

	for _, to := range []string{
		"{address: '" + udp + "'}", "{network: unix, address: '" + socket + "', facility: local0}",
		"{network: tcp, address: '" + tcp + "'}",
		"{network: tls, address: '" + secure + "', ssl: {certificate_authorities: ['" + authority + "']}}",
	} {
		item := read(t, "{id: x, syslog: "+strings.Replace(to, "{", "{timeout: 1m, ", 1)+"}")
		require.NoError(t, try(t, item, alert("1")), to)
		m := parsed(t, <-messages)
		require.Equal(t, "reconbeat", field(t, m, "log.syslog.appname"), to)
		require.Equal(t, "web-1", field(t, m, "log.syslog.hostname"), to)
		require.Equal(t, "alert", field(t, m, "log.syslog.msgid"), to)
		require.Equal(t, strconv.Itoa(os.Getpid()), field(t, m, "log.syslog.procid"), to)
		want := "10" // authpriv
		if strings.Contains(to, "local0") {
			want = "16"
		}
		require.Equal(t, want, field(t, m, "log.syslog.facility.code"), to)
		require.Equal(t, "4", field(t, m, "log.syslog.severity.code"), to)
		require.Equal(t, alert("1").Line(), strings.TrimPrefix(field(t, m, "message"), "\ufeff"), to)

		item.Syslog.Format = "json"
		require.NoError(t, try(t, item, alert("2")), to)
		m = parsed(t, <-messages)
		var doc mapstr.M
		require.NoError(t, json.Unmarshal([]byte(field(t, m, "message")), &doc))
		require.Equal(t, "2", field(t, doc, "event.id"))
	}

	long := alert("3")
	long.Document["more"] = strings.Repeat("x", mostDatagram)
	err := try(t, read(t, "{id: x, syslog: {address: '"+udp+"', format: json}}"), long)
	require.ErrorIs(t, err, errRefused)
	require.ErrorContains(t, err, "use network tcp")
	require.NoError(t, try(t, read(t, "{id: x, syslog: {network: tcp, address: '"+tcp+"', format: json}}"), long))
	<-messages
	untrusted := read(t, "{id: x, syslog: {network: tls, address: '"+secure+"'}}")
	require.ErrorContains(t, try(t, untrusted, alert("4")), "certificate")
}

// A receiver that closes its connection, or is away, is known not to have read: the alert is delivered again.
func TestASyslogReceiverThatCloses(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	messages, taken := make(chan string, 10), make(chan net.Conn, 10)
	var readers []net.Conn
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(taken)
				return
			}
			taken <- c
			go framed(c, messages)
		}
	}()
	item := read(t, "{id: x, syslog: {network: tcp, address: '"+address+"'}}")
	target, err := newSyslog(item.Syslog, logp.NewNopLogger())
	require.NoError(t, err)
	defer target.close()
	require.NoError(t, target.deliver(t.Context(), alert("1")))
	parsed(t, <-messages)
	first := <-taken
	require.NoError(t, first.Close())
	require.Eventually(t, func() bool { return ended(target.conn) != nil }, time.Minute, time.Millisecond)
	require.NoError(t, target.deliver(t.Context(), alert("2")), "over a new connection")
	parsed(t, <-messages)
	l.Close()
	for c := range taken {
		readers = append(readers, c)
	}
	for _, c := range readers {
		c.Close()
	}
	require.Eventually(t, func() bool { return ended(target.conn) != nil }, time.Minute, time.Millisecond)
	require.ErrorContains(t, target.deliver(t.Context(), alert("3")), "connection refused")

	gone, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, gone.Close())
	err = try(t, read(t, "{id: x, syslog: {address: '"+gone.LocalAddr().String()+"'}}"), alert("4"))
	require.ErrorContains(t, err, "connection refused", "a host says that nobody listens")
}

// A receiver that reads nothing holds a delivery up no longer than until the end.
func TestASyslogReceiverThatHangs(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close() // it never accepts: what the kernel's buffers hold fills up
	target, err := newSyslog(read(t, "{id: x, syslog: {network: tcp, timeout: 1h, format: json, address: '"+
		l.Addr().String()+"'}}").Syslog, logp.NewNopLogger())
	require.NoError(t, err)
	defer target.close()
	long := alert("1")
	long.Document["more"] = strings.Repeat("x", 16<<20)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	for err == nil {
		err = target.deliver(ctx, long)
	}
	require.Error(t, ctx.Err())
}

// script writes a program.
func script(t *testing.T, text string) string {
	dir, err := os.MkdirTemp("", "reconbeat-notify") // t.TempDir is root's alone
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, os.ModeSticky|0o777))
	file := filepath.Join(dir, "program")
	beattest.WriteProgram(t, file, text)
	return file
}

// A program gets the alert in its environment and on standard input, runs as nobody without other groups, and no shell
// reads what a hostile process has chosen.
func TestAProgramGetsTheAlert(t *testing.T) {
	t.Parallel()
	file := script(t, `#!/bin/sh
cd "${0%/*}" || exit 1
cat > stdin.new
env | grep -a ^RECONBEAT_ALERT_ID= > id
printf %s "$RECONBEAT_COMMAND" > command
printf '%s %s' "$(id -u)" "$(id -G)" > user
printf %s "$#" > arguments
tr '\\0' '\n' < /proc/self/environ | grep -ac . > variables
mv stdin.new stdin
`)
	item := read(t, "{id: x, program: {path: '"+file+"'}}")
	require.NoError(t, try(t, item, alert("1")))
	got := func(name string) string {
		text, err := os.ReadFile(filepath.Join(filepath.Dir(file), name))
		require.NoError(t, err)
		return string(text)
	}
	var doc mapstr.M
	require.NoError(t, json.Unmarshal([]byte(got("stdin")), &doc))
	require.Equal(t, "1", field(t, doc, "event.id"))
	require.Equal(t, "RECONBEAT_ALERT_ID=1\n", got("id"))
	require.Equal(t, strings.ReplaceAll(strings.ToValidUTF8(hostile, "\ufffd"), "\x00", "\ufffd"), got("command"))
	require.Equal(t, "0", got("arguments"))
	if os.Geteuid() == 0 {
		nobody, err := user.Lookup("nobody")
		require.NoError(t, err)
		require.Equal(t, nobody.Uid+" "+nobody.Gid, got("user"))
	}
	n, err := strconv.Atoi(strings.TrimSpace(got("variables")))
	require.NoError(t, err)
	require.Less(t, n, 16+strings.Count(hostile, "\n"), "nothing of reconbeat's own environment is handed on")

	huge := alert("2")
	huge.Command = strings.Repeat("é", 1<<20)
	require.NoError(t, try(t, item, huge))
	require.LessOrEqual(t, len(got("command")), mostValue)
}

// A program that fails says why; what others could have written is not run.
func TestAProgramThatFails(t *testing.T) {
	t.Parallel()
	failing := script(t, "#!/bin/sh\necho it \033does not work; exit 3\n")
	err := try(t, read(t, "{id: x, program: {path: '"+failing+"'}}"), alert("1"))
	require.ErrorContains(t, err, "exit status 3: it \ufffddoes not work")
	require.NotErrorIs(t, err, errRefused)
	writable, open := script(t, "#!/bin/sh\n"), script(t, "#!/bin/sh\n")
	require.NoError(t, os.Chmod(writable, 0o775))
	require.NoError(t, os.Chmod(filepath.Dir(open), 0o777))
	require.NoError(t, os.Symlink(writable, writable+".at"))
	for path, says := range map[string]string{
		writable: "must be writable by its owner only; its mode is 0775", filepath.Dir(writable): "must be a file",
		writable + ".gone": "no such file", open: filepath.Dir(open) + " must be writable by its owner only",
		writable + ".at": writable + " must be writable by its owner only",
	} {
		require.ErrorContains(t, try(t, read(t, "{id: x, program: {path: '"+path+"'}}"), alert("1")), says)
	}
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chmod(writable, 0o755))
		require.NoError(t, os.Chown(writable, 65534, -1))
		err = try(t, read(t, "{id: x, program: {path: '"+writable+"'}}"), alert("1"))
		require.ErrorContains(t, err, "must belong to root")
	}
	unread := script(t, "#!/bin/sh\nexec <&-\n")
	require.NoError(t, try(t, read(t, "{id: x, program: {path: '"+unread+"'}}"), alert("1")))
	err = try(t, read(t, "{id: x, program: {path: '"+unread+"', user: nonesuch}}"), alert("1"))
	require.ErrorContains(t, err, `looking up user "nonesuch"`)
}

// A program that hangs is killed, and its children with it: after the timeout, at the end of reconbeat, and those that
// it leaves behind.
func TestAProgramsChildrenDieWithIt(t *testing.T) {
	t.Parallel()
	const hangs = "#!/bin/sh\nsleep 3600 & echo $! > ${0%/*}/child.new; mv ${0%/*}/child.new ${0%/*}/child; wait\n"
	for name, c := range map[string]struct {
		program, timeout, says string
		cancel                 bool
	}{
		// Long enough for the child to be there on a busy machine.
		"timeout": {program: hangs, timeout: "10s", says: "it was killed after 10s"},
		"end":     {program: hangs, timeout: "1h", says: "signal: killed", cancel: true},
		"left":    {program: strings.Replace(hangs, "; wait", "", 1), timeout: "1h"},
	} {
		file := script(t, c.program)
		ctx, cancel := context.WithCancel(t.Context())
		child := func() int {
			text, err := os.ReadFile(filepath.Join(filepath.Dir(file), "child"))
			if err != nil {
				return 0
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
			require.NoError(t, err)
			return pid
		}
		done := make(chan error)
		go func() {
			done <- Try(ctx, read(t, "{id: x, program: {path: '"+file+"', timeout: "+c.timeout+"}}"), alert("1"),
				logp.NewNopLogger())
		}()
		require.Eventually(t, func() bool { return child() != 0 }, time.Minute, time.Millisecond, name)
		if c.cancel {
			cancel()
		}
		err := <-done
		cancel()
		if c.says == "" {
			require.NoError(t, err, name)
		} else {
			require.ErrorContains(t, err, c.says, name)
		}
		require.Eventually(t, func() bool { return !alive(child()) }, time.Minute, time.Millisecond, name)
	}
}

// alive reports whether a process runs, and is not only waiting to be reaped.
func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(text), ") Z ")
}

// reduced has TestMain send an alert to a program, in a process with fewer rights.
const reduced = "RECONBEAT_NOTIFY_REDUCED"

// Without the right to become another user, or to kill what runs as one, the program is not started, and the message
// names what is missing.
func TestAProgramNeedsRights(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: CAPABILITIES ARE GIVEN UP BY ROOT")
	}
	file := script(t, "#!/bin/sh\nexit 0\n")
	for drop, says := range map[string]string{
		"-kill":          `reconbeat may not run a program as user "nobody": it lacks CAP_KILL; docs/notify.md says`,
		"-setuid,-kill":  "it lacks CAP_SETUID, CAP_KILL;",
		"-setgid":        "it lacks CAP_SETGID;",
		"-sys_ptrace":    "delivered",
		"-dac_override":  "delivered",
		"-audit_control": "delivered",
	} {
		c := exec.Command("setpriv", "--bounding-set", drop, "--inh-caps", drop, os.Args[0])
		c.Env = append(os.Environ(), reduced+"="+file)
		out, err := c.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), says, drop)
	}
}

// A program prints for the log: what a hook did, or would do.
func TestWhatAProgramPrintsIsLogged(t *testing.T) {
	t.Parallel()
	logger, observed := logptest.NewTestingLoggerWithObserver(t, "")
	file := script(t, "#!/bin/sh\nprintf 'would end \\033session 7\\n'\n")
	require.NoError(t, Try(t.Context(), read(t, "{id: x, program: {path: '"+file+"'}}"), alert("1"), logger))
	require.Equal(t, "alert 1: "+file+" prints: would end \ufffdsession 7", observed.All()[0].Message)
}

// The hooks that are shipped only say what they would do, until somebody has them act; they never act on a test, on a
// message without an alert, on root, or on what is no account's name or session's number.
func TestTheShippedHooks(t *testing.T) {
	t.Parallel()
	const hooks = "../../deploy/hooks"
	acts := map[string]string{
		"end-session":  "show-session 7 --property=Name --value\nterminate-session 7\n",
		"lock-account": "--lock --expiredate 1 mallory\n",
	}
	files, err := os.ReadDir(hooks)
	require.NoError(t, err)
	require.Len(t, files, len(acts))
	for _, f := range files {
		shipped, err := os.ReadFile(filepath.Join(hooks, f.Name()))
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(string(shipped), "\ndry_run=yes\n"))
		armed := strings.Replace(string(shipped), "\ndry_run=yes\n", "\ndry_run=no\n", 1)
		for name, c := range map[string]struct {
			text   string
			change func(*Alert)
			acts   bool
			says   string
		}{
			"shipped": {text: string(shipped), says: "would "},
			"armed":   {text: armed, acts: true, says: "ed "},
			"test":    {text: armed, change: func(a *Alert) { a.Test = true }, says: "would "},
			"held":    {text: armed, change: func(a *Alert) { a.HeldBack = 3 }},
			"root":    {text: armed, change: func(a *Alert) { a.User = "root" }},
			"none":    {text: armed, change: func(a *Alert) { a.User, a.Session = "", "" }},
			"option":  {text: armed, change: func(a *Alert) { a.User = "--help" }},
			"hostile": {text: armed, change: func(a *Alert) { a.User, a.Session = "$(reboot)\nx", "7 8" }},
		} {
			// What the hook would run writes down how it is called.
			dir := filepath.Dir(script(t, ""))
			called := filepath.Join(dir, "called")
			stand := "#!/bin/sh\necho \"$*\" >> " + called + "\n[ \"$1\" != show-session ] || echo mallory\n"
			for _, tool := range []string{"loginctl", "usermod"} {
				beattest.WriteProgram(t, filepath.Join(dir, tool), stand)
			}
			text := strings.Replace(c.text, "\ndry_run=", "\nPATH="+dir+":$PATH\ndry_run=", 1)
			a := alert("1")
			a.User, a.Session = "mallory", "7"
			if c.change != nil {
				c.change(a)
			}
			logger, observed := logptest.NewTestingLoggerWithObserver(t, "")
			require.NoError(t, Try(t.Context(), read(t, "{id: x, program: {path: '"+script(t, text)+"'}}"), a, logger))
			did, err := os.ReadFile(called)
			if c.acts {
				require.NoError(t, err, name)
				require.Equal(t, acts[f.Name()], string(did), name)
			} else {
				require.ErrorIs(t, err, os.ErrNotExist, "%s %s: %s", f.Name(), name, did)
			}
			if c.says == "" {
				require.Empty(t, observed.All(), "%s %s", f.Name(), name)
				continue
			}
			require.Contains(t, observed.All()[0].Message, c.says)
			require.Contains(t, observed.All()[0].Message, "mallory")
		}
	}
}
