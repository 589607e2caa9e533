// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/transport/tlscommon"
)

// syslog delivers messages of RFC 5424: in datagrams (RFC 5426), or in a stream with their lengths (RFC 6587, 5425).
// That is a header and a frame. The libraries for it parse, or bring a client that neither times out nor retries.
type syslog struct {
	to       *Syslog
	facility int
	tls      *tls.Config // nil: none
	conn     net.Conn    // nil: none
	host     string
}

func newSyslog(s *Syslog, logger *logp.Logger) (*syslog, error) {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	l := &syslog{to: s, facility: slices.Index(facilities, cmp.Or(s.Facility, "authpriv")), host: host}
	if s.network() == "tls" {
		c, err := tlscommon.LoadTLSConfig(s.SSL, logger)
		if err != nil {
			return nil, fmt.Errorf("reading ssl: %w", err)
		}
		name, _, _ := net.SplitHostPort(s.Address)
		l.tls = c.BuildModuleClientConfig(name)
	}
	return l, nil
}

func (l *syslog) stream() bool { return l.to.network() == "tcp" || l.to.network() == "tls" }

func (l *syslog) deliver(ctx context.Context, a *Alert) error {
	message, err := l.message(a)
	if err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	if l.stream() {
		message = append([]byte(strconv.Itoa(len(message))+" "), message...)
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(l.to.Timeout, 10*time.Second))
	defer cancel()
	if l.conn != nil && ended(l.conn) != nil {
		l.close()
	}
	if l.conn == nil {
		if l.conn, err = l.dial(ctx); err != nil {
			return fmt.Errorf("connecting to %s: %w", l.to.Address, err)
		}
	}
	if err := l.write(ctx, message); err != nil {
		l.close()
		return fmt.Errorf("writing to %s: %w", l.to.Address, err)
	}
	return nil
}

// write writes a message, and returns the error where it can be known that nobody has read it.
func (l *syslog) write(ctx context.Context, message []byte) error {
	deadline, _ := ctx.Deadline()
	if err := l.conn.SetDeadline(deadline); err != nil {
		return fmt.Errorf("setting a deadline: %w", err)
	}
	conn := l.conn
	release := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer release()
	if _, err := conn.Write(message); err != nil {
		return err
	}
	return ended(conn)
}

func (l *syslog) dial(ctx context.Context) (net.Conn, error) {
	network := map[string]string{"udp": "udp", "tcp": "tcp", "tls": "tcp", "unix": "unixgram"}[l.to.network()]
	if l.tls != nil {
		return (&tls.Dialer{Config: l.tls}).DialContext(ctx, network, l.to.Address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, l.to.Address)
}

// ended returns the error where a receiver, which never writes, has closed a connection, or nobody receives datagrams:
// what is written there is lost. A message that was lost between the two calls of a delivery is not known to be.
func ended(c net.Conn) error {
	if err := c.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		return err
	}
	_, err := c.Read(make([]byte, 1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// mostDatagram bounds what goes into one datagram, in bytes; RFC 5426 wants receivers to take 2,048.
const mostDatagram = 8192

// levels are syslog's severities: critical, error, warning, and notice.
var levels = map[string]int{"critical": 2, "error": 3, "warning": 4, "info": 5}

// message is one, without its frame.
func (l *syslog) message(a *Alert) ([]byte, error) {
	text := "\ufeff" + a.Line() // the mark says that UTF-8 follows
	if l.to.Format == "json" {
		b, err := a.json()
		if err != nil {
			return nil, err
		}
		text = string(b)
	}
	m := fmt.Sprintf("<%d>1 %s %s reconbeat %d alert - %s", l.facility*8+levels[a.level()], a.Time.Format(stamp),
		token(cmp.Or(a.Host, l.host)), os.Getpid(), text)
	if !l.stream() && len(m) > mostDatagram {
		return nil, fmt.Errorf("it has %d bytes, more than the %d of a datagram; use network tcp", len(m), mostDatagram)
	}
	return []byte(m), nil
}

// token is a text where the format allows neither blanks nor more than ASCII.
func token(s string) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return cmp.Or(s[:min(len(s), 255)], "-")
}

func (l *syslog) close() {
	if l.conn != nil {
		_ = l.conn.Close()
		l.conn = nil
	}
}
