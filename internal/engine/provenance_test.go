// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/internal/host"
	"github.com/reconbeat/reconbeat/internal/host/provenance"
	"github.com/reconbeat/reconbeat/process"
)

// patient is a host that is asked until it has answered, however busy it is.
type patient struct{ *host.Host }

func (p patient) Provenance(e *process.Event) (tool, parent provenance.Executable) {
	for {
		tool, parent = p.Host.Provenance(e)
		if tool.Unread != provenance.Late && parent.Unread != provenance.Late {
			return tool, parent
		}
		time.Sleep(time.Millisecond)
	}
}

// intruder has an account that was never seen run a copy of a program, which is taken for ss, from this test, after ten
// quiet days, and returns the alert.
func intruder(t *testing.T, from *document.Source, change func(*process.Event)) *document.Document {
	eng, shipped := testEngine(t, nil)
	machine, err := host.Open(nil)
	require.NoError(t, err)
	eng.machine = patient{machine}
	eng.documents.Machine = eng.machine
	data, err := os.ReadFile("/usr/bin/sleep")
	require.NoError(t, err)
	// Its name is another: a live test that counts what is called ss may run at the same time.
	path := filepath.Join(t.TempDir(), "copied")
	require.NoError(t, os.WriteFile(path, data, 0o755))
	c := exec.Command(path, "60")
	require.NoError(t, c.Start())
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	self, err := os.Readlink("/proc/self/exe")
	require.NoError(t, err)
	now := time.Now()
	for day := 10; day > 0; day-- {
		e := execOf(now.AddDate(0, 0, -day), "root", "ss")
		e.User.ID, e.PID, e.PPID, e.Parent.Name = 0, 900, 800, "agent"
		change(e)
		eng.Take(e, kernelSource)
		eng.Advance(e.Time)
	}
	e := execOf(now, "mallory", "ss")
	e.Executable, e.PID, e.PPID = path, uint32(c.Process.Pid), uint32(os.Getpid())
	e.Binary.Tool = "ss"
	e.Parent.PID, e.Parent.Executable, e.Parent.Name = e.PPID, self, "python3"
	e.Parent.Args = []string{"python3", "/opt/\xffx.py"}
	change(e)
	eng.Take(e, from)
	return alertAmong(t, *shipped)
}

// An alert has the checksums of the tool and its parent, whose they are, and the parent's script.
func TestAnAlertSaysWhereItsToolComesFrom(t *testing.T) {
	doc := intruder(t, &document.Source{Local: true}, func(*process.Event) {})
	value := func(field string) any { v, _ := doc.Fields.GetValue(field); return v }
	require.Len(t, value("process.hash.sha256"), 64)
	require.Contains(t, value("related.hash"), value("process.hash.sha256"))
	if value("reconbeat.executable.parent.unread") != provenance.Large { // with the race detector
		require.Len(t, value("process.parent.hash.sha256"), 64)
		require.Contains(t, value("related.hash"), value("process.parent.hash.sha256"))
	}
	require.Equal(t, "/opt/\ufffdx.py", value("reconbeat.executable.parent.script"))
	if _, err := os.Stat("/var/lib/dpkg/info"); err == nil {
		require.Equal(t, "unowned", value("reconbeat.executable.state"))
	}
}

// What another host has done is nothing that this one's files can explain, and a process that is gone says so.
func TestOfAnotherHostNoFileIsRead(t *testing.T) {
	for _, doc := range []*document.Document{
		intruder(t, &document.Source{Local: false}, func(*process.Event) {}),
		intruder(t, &document.Source{Local: true}, func(e *process.Event) { e.Host.ID = "other" }),
	} {
		for field := range document.Fields() {
			v, err := doc.Fields.GetValue(field)
			if err == nil && (strings.HasPrefix(field, "reconbeat.executable.") || strings.Contains(field, ".hash.")) {
				require.Equal(t, "reconbeat.executable.parent.script", field, "%v", v)
			}
		}
	}
	doc := intruder(t, &document.Source{Local: true}, func(e *process.Event) { e.PID = 1<<22 + 1 })
	unread, err := doc.Fields.GetValue("reconbeat.executable.unread")
	require.NoError(t, err)
	require.Equal(t, "gone", unread)
}
