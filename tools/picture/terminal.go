// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
)

// patience is how long a command may run.
const patience = time.Minute

// show runs a command in a terminal of a size and returns the screen that it leaves.
func show(dir string, columns, rows int, line []string) (*screen, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, line[0], line[1:]...)
	c.Dir = dir
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TERM=xterm-256color", "TZ=UTC", "LANG=C.UTF-8"}
	tty, err := pty.StartWithSize(c, &pty.Winsize{Cols: uint16(columns), Rows: uint16(rows)})
	if err != nil {
		return nil, fmt.Errorf("starting it in a terminal: %w", err)
	}
	defer tty.Close()
	var output bytes.Buffer
	if _, err := io.Copy(&output, tty); err != nil && !errors.Is(err, syscall.EIO) { // EIO: nobody writes any more
		return nil, fmt.Errorf("reading its terminal: %w", err)
	}
	if err := c.Wait(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, output.Bytes())
	}
	emulator := vt.NewEmulator(columns, rows)
	if _, err := emulator.Write(output.Bytes()); err != nil {
		return nil, fmt.Errorf("showing its output: %w", err)
	}
	return &screen{emulator}, nil
}
