// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"encoding/binary"
	"fmt"
	"os/exec"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestLiveAnInjectedExec has a debugger make a process start ss, and the next program before ss runs an instruction:
// what the process runs by then is not what it started.
func TestLiveAnInjectedExec(t *testing.T) {
	l := newLive(t, "context")
	l.start()
	defer l.stop()
	ss, sleep := lookPath(t, "ss"), lookPath(t, "sleep")
	const rounds = 20
	for i := range rounds {
		filter := fmt.Sprintf(":%d", 20000+i)
		require.NoError(t, traced(sleep, []string{ss, "-H", "-t", "sport", "=", filter}, []string{sleep, "0"}))
	}
	l.canary()
	matches := l.matches()
	for i := range rounds {
		line := fmt.Sprintf("%s -H -t sport = :%d", ss, 20000+i)
		if assert.Len(t, matches[line], 1, line) {
			assert.Equal(t, ss, text(matches[line][0], "process.executable"))
			assert.Equal(t, "ss", text(matches[line][0], "process.name"))
		}
	}
	assert.Len(t, matches, rounds)
}

// traced starts a program and has it start those of the command lines one after the other, each in the place of the one
// before, which runs nothing of its own.
func traced(program string, lines ...[]string) error {
	runtime.LockOSThread() // a process is traced by a thread
	defer runtime.UnlockOSThread()
	c := exec.Command(program, "60")
	c.SysProcAttr = &unix.SysProcAttr{Ptrace: true}
	if err := c.Start(); err != nil {
		return err
	}
	pid := c.Process.Pid
	// It has stopped at its first instruction, and does so again after each exec.
	for i := 0; ; i++ {
		var status unix.WaitStatus
		if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
			return fmt.Errorf("waiting for the traced process: %w", err)
		}
		if !status.Stopped() {
			return fmt.Errorf("the traced process ended: %v", status)
		}
		if i == len(lines) {
			break
		}
		if err := injectExec(pid, lines[i]); err != nil {
			return err
		}
		if err := unix.PtraceCont(pid, 0); err != nil {
			return fmt.Errorf("continuing the traced process: %w", err)
		}
	}
	if err := unix.PtraceDetach(pid); err != nil {
		return fmt.Errorf("detaching from the traced process: %w", err)
	}
	_, err := c.Process.Wait()
	return err
}

// injectExec makes execve the next that a stopped process does: its arguments are below the stack, and the call in the
// place of the next instruction.
func injectExec(pid int, args []string) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(pid, &regs); err != nil {
		return fmt.Errorf("reading registers: %w", err)
	}
	const room = 4096
	base := regs.Rsp - room
	var texts, vector []byte
	for _, a := range args {
		vector = binary.NativeEndian.AppendUint64(vector, base+uint64(len(texts)))
		texts = append(append(texts, a...), 0)
	}
	vector = append(vector, make([]byte, 16)...) // the end of the arguments, and an empty environment
	texts = append(texts, make([]byte, 8-len(texts)%8)...)
	at := base + uint64(len(texts))
	for _, write := range []struct {
		at   uint64
		data []byte
	}{{base, texts}, {at, vector}, {regs.Rip, []byte{0x0f, 0x05}}} { // syscall
		if _, err := unix.PtracePokeData(pid, uintptr(write.at), write.data); err != nil {
			return fmt.Errorf("writing memory: %w", err)
		}
	}
	regs.Rax, regs.Orig_rax = unix.SYS_EXECVE, ^uint64(0)
	regs.Rdi, regs.Rsi, regs.Rdx = base, at, at+uint64(len(vector)-8)
	if err := unix.PtraceSetRegs(pid, &regs); err != nil {
		return fmt.Errorf("writing registers: %w", err)
	}
	return nil
}
