// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// route opens a socket that every user may use: the kernel's answers to requests about network interfaces.
func route(t *testing.T) *Socket {
	t.Helper()
	s, err := Open(unix.NETLINK_ROUTE, 0, 1<<16, 8192)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// ask requests what is not there, so that the kernel answers with one error message.
func ask(t *testing.T, s *Socket) {
	t.Helper()
	require.NoError(
		t,
		s.Send(
			unix.RTM_GETLINK,
			unix.NLM_F_REQUEST|unix.NLM_F_ACK,
			[]byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0},
		),
	)
}

func TestSocketReceivesWhatTheKernelAnswers(t *testing.T) {
	s := route(t)
	for range 3 {
		ask(t, s)
	}
	n, err := s.Receive(time.Minute)
	require.NoError(t, err)
	require.Equal(t, 3, n, "in one batch")
	for i := range n {
		typ, body, ok := s.Message(i)
		assert.True(t, ok)
		assert.EqualValues(t, unix.NLMSG_ERROR, typ)
		assert.GreaterOrEqual(t, len(body), 4)
	}
}

func TestSocketWaitsNoLongerThanItsTimeout(t *testing.T) {
	s := route(t)
	for _, wait := range []time.Duration{0, time.Millisecond} {
		_, err := s.Receive(wait)
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	}
	ask(t, s) // and goes on
	n, err := s.Receive(time.Minute)
	require.NoError(t, err)
	assert.Equal(t, 1, n)
}

func TestSocketIsInterruptedWhileItWaitsAndForEver(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s := route(t)
	done := make(chan error)
	go func() {
		for {
			if _, err := s.Receive(time.Hour); err != nil {
				done <- err
				return
			}
		}
	}()
	s.Interrupt()
	assert.ErrorIs(t, <-done, ErrInterrupted)
	_, err := s.Receive(time.Hour)
	assert.ErrorIs(t, err, ErrInterrupted)
	goleak.VerifyNone(t, before)
}

func TestSocketSaysThatMessagesWereDroppedAndGoesOn(t *testing.T) {
	s := route(t)
	var dropped bool
	for range 5000 { // more than the buffer holds
		ask(t, s)
	}
	for {
		_, err := s.Receive(0)
		if errors.Is(err, unix.ENOBUFS) {
			dropped = true
			continue
		}
		if err != nil {
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			break
		}
	}
	assert.True(t, dropped)
	ask(t, s)
	n, err := s.Receive(time.Minute)
	require.NoError(t, err)
	assert.Equal(t, 1, n)
}

func TestSocketDoesNotAllocateToReceive(t *testing.T) {
	s := route(t)
	ask(t, s)
	_, err := s.Receive(time.Minute)
	require.NoError(t, err)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		if n, err := s.Receive(0); n != 0 || err == nil {
			t.Error("something came")
		}
	}))
}

func TestOpenSaysWhatFailed(t *testing.T) {
	_, err := Open(1000, 0, 1<<16, 8192)
	assert.ErrorContains(t, err, "opening a netlink socket")
}
