// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/reconbeat/reconbeat/cmd"
	"github.com/reconbeat/reconbeat/internal/beattest"
	"github.com/reconbeat/reconbeat/internal/component"
)

func TestMain(m *testing.M) {
	switch os.Getenv(beattest.AsReconbeat) {
	case "":
	case own:
		if err := cmd.NewRootCommand().Execute(); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	default:
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// The managements that a reconbeat can be linked with: that of the repository's root, and Elastic's.
const (
	own     = "own"
	elastic = "elastic"
)

// eachManagement runs a test with either management: the same conversation has the same end.
func eachManagement(t *testing.T, test func(t *testing.T, h *host)) {
	for _, management := range []string{elastic, own} {
		t.Run(management, func(t *testing.T) {
			h := newHost(t)
			h.management = management
			test(t, h)
		})
	}
}

// host is a folder in which an Agent runs reconbeat, again and again.
type host struct {
	*beattest.Host
	t          *testing.T
	dir        string
	management string
}

// run is one life of reconbeat.
type run struct {
	*beattest.Run
	h   *host
	log *beattest.Log
}

func newHost(t *testing.T) *host {
	h := &host{Host: beattest.NewHost(t), t: t, management: elastic}
	h.dir = h.Dir
	t.Cleanup(h.expectNoRaceOfOurs)
	return h
}

func (h *host) input() string { return h.Input() }

// specification is reconbeat.spec.yml as the Agent reads it.
type specification struct {
	Version int
	Inputs  []struct {
		Name, Description  string
		Platforms, Outputs []string
		Command            struct{ Args []string }
	}
}

var variable = regexp.MustCompile(`\$\{[A-Z_]+:([^}]*)\}`)

func readSpecification(t *testing.T) specification {
	var s specification
	require.NoError(t, yaml.Unmarshal(component.Specification, &s))
	require.Len(t, s.Inputs, 1)
	for i, arg := range s.Inputs[0].Command.Args {
		s.Inputs[0].Command.Args[i] = variable.ReplaceAllString(arg, "$1")
	}
	return s
}

// command makes a command of reconbeat on this host.
func (h *host) command(args ...string) *exec.Cmd {
	for _, path := range []string{"home", "config"} {
		args = append(args, "-E", "path."+path+"="+h.dir)
	}
	c := exec.Command(os.Args[0], append(args, "-E", "path.data="+filepath.Join(h.dir, "data"))...)
	c.Env = append(os.Environ(), beattest.AsReconbeat+"="+h.management, h.races())
	return c
}

// start runs reconbeat as the Agent does: by the specification, with how to reach the Agent on standard input.
func (h *host) start(a *agent) *run {
	c := h.command(readSpecification(h.t).Inputs[0].Command.Args...)
	c.Stdin = bytes.NewReader(a.startUp)
	r := h.Start(c)
	return &run{Run: r, h: h, log: r.Log}
}

func (r *run) signal(sig syscall.Signal) error { return r.Signal(sig) }
