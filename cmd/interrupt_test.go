// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Ctrl-C ends a replay that waits for more of a pipe.
func TestAReplayOfAPipeEndsWhenInterrupted(t *testing.T) {
	// More than the pipe and the reader's sample hold: when it is written, the replay reads.
	const document = `{"@timestamp":1772500000000,"event":{"action":"exec"},"process":{"name":"true","pid":7}}`
	input := []byte(strings.Repeat(document+"\n", (1<<20)/len(document)))
	for _, named := range []bool{false, true} {
		pipe := filepath.Join(t.TempDir(), "pipe")
		require.NoError(t, unix.Mkfifo(pipe, 0o600))
		c := exec.Command(withoutRaceDetector(t), "replay", pipe)
		var said bytes.Buffer
		c.Env, c.Dir, c.Stderr = append(os.Environ(), asReconbeat+"=1"), t.TempDir(), &said
		var in *os.File
		if named {
			require.NoError(t, c.Start())
			var err error
			in, err = os.OpenFile(pipe, os.O_WRONLY, 0)
			require.NoError(t, err)
		} else {
			c.Args[2] = "-"
			r, w, err := os.Pipe()
			require.NoError(t, err)
			c.Stdin, in = r, w
			require.NoError(t, c.Start())
			require.NoError(t, r.Close())
		}
		_, err := in.Write(input)
		require.NoError(t, err)
		require.NoError(t, c.Process.Signal(os.Interrupt))
		done := make(chan struct{})
		go func() {
			_ = c.Wait() // the exit code says it
			close(done)
		}()
		select {
		case <-done:
			require.Equal(t, 1, c.ProcessState.ExitCode(), said.String())
			require.Contains(t, said.String(), "interrupted")
		case <-time.After(time.Minute):
			require.NoError(t, c.Process.Kill())
			t.Fatal("the replay does not end")
		}
		require.NoError(t, in.Close())
	}
}
