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
		return errors.Join(errRefused, err)
	}
	if l.stream() {
		message = append([]byte(strconv.Itoa(len(message))+" "), message...)
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(l.to.Timeout, 10*time.Second))
	defer cancel()
	if l.conn != nil && l.stream() && ended(l.conn) {
		l.close()
	}
	if l.conn == nil {
		if l.conn, err = l.dial(ctx); err != nil {
			return fmt.Errorf("connecting to %s: %w", l.to.Address, err)
		}
	}
	deadline, _ := ctx.Deadline()
	err = l.conn.SetDeadline(deadline)
	if err == nil {
		_, err = l.conn.Write(message)
	}
	if err != nil {
		l.close()
		return fmt.Errorf("writing to %s: %w", l.to.Address, err)
	}
	return nil
}

func (l *syslog) dial(ctx context.Context) (net.Conn, error) {
	network := map[string]string{"udp": "udp", "tcp": "tcp", "tls": "tcp", "unix": "unixgram"}[l.to.network()]
	if l.tls != nil {
		return (&tls.Dialer{Config: l.tls}).DialContext(ctx, network, l.to.Address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, l.to.Address)
}

// ended reports whether a receiver, which never writes, has closed a connection: what is written to it would be lost.
func ended(c net.Conn) bool {
	if c.SetReadDeadline(time.Now().Add(time.Millisecond)) != nil {
		return true
	}
	_, err := c.Read(make([]byte, 1))
	var timeout net.Error
	return err != nil && !(errors.As(err, &timeout) && timeout.Timeout())
}

// mostDatagram bounds what goes into one datagram, in bytes; RFC 5426 wants receivers to take 2,048.
const mostDatagram = 8192

// message is one, without its frame.
func (l *syslog) message(a *Alert) ([]byte, error) {
	text := a.Line()
	if l.to.Format == "json" {
		b, err := a.json()
		if err != nil {
			return nil, err
		}
		text = string(b)
	}
	// Elastic's severities of 21, 47, 73 and 99 are notice, warning, error and critical here.
	level := 5
	switch {
	case a.Severity >= 99:
		level = 2
	case a.Severity >= 73:
		level = 3
	case a.Severity >= 47:
		level = 4
	}
	m := fmt.Sprintf("<%d>1 %s %s reconbeat %d alert - \ufeff%s", l.facility*8+level,
		a.Time.Format("2006-01-02T15:04:05.000Z"), token(cmp.Or(a.Host, l.host)), os.Getpid(), text)
	if !l.stream() && len(m) > mostDatagram {
		if l.to.Format == "json" {
			return nil, fmt.Errorf("it has %d bytes, more than the %d of a datagram; use network tcp", len(m), mostDatagram)
		}
		m = strings.ToValidUTF8(m[:mostDatagram], "")
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
