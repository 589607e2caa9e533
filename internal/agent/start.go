// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	"github.com/reconbeat/reconbeat/internal/agent/wire"
)

const (
	// longestStart is more than an Agent writes: some kilobytes of certificates.
	longestStart = 1 << 20
	// usualMessage is how large a message may be when the Agent does not say so: what gRPC takes by itself.
	usualMessage = 4 << 20
)

// ReadStart reads what an Agent writes to the standard input of a program that it starts, to the end.
func ReadStart(r io.Reader) (*wire.StartUp, error) {
	text, err := io.ReadAll(io.LimitReader(r, longestStart+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading how the Elastic Agent is reached: %w", err)
	case len(text) == 0:
		return nil, errors.New("standard input is empty; an Elastic Agent writes there how it is reached")
	case len(text) > longestStart:
		return nil, fmt.Errorf("standard input has more than the %d bytes in which an Elastic Agent says how it is reached",
			longestStart)
	}
	start := &wire.StartUp{}
	if err := proto.Unmarshal(text, start); err != nil {
		return nil, fmt.Errorf("standard input is not what an Elastic Agent writes there: %w", err)
	}
	return start, checkStart(start)
}

// checkStart reports everything that is missing for a connection.
func checkStart(start *wire.StartUp) error {
	var errs []error
	for _, f := range []struct {
		name  string
		empty bool
	}{
		{name: "an address", empty: start.Address == ""},
		{name: "a token", empty: start.Token == ""},
		{name: "a server name", empty: start.ServerName == ""},
	} {
		if f.empty {
			errs = append(errs, fmt.Errorf("what the Elastic Agent wrote to standard input lacks %s", f.name))
		}
	}
	// An Agent that names no service is older than the list, and speaks no protocol but this one.
	if len(start.Services) > 0 && !slices.Contains(start.Services, wire.Service_SERVICE_CHECKIN) {
		errs = append(errs, errors.New("the Elastic Agent offers no check-in of version 2; Agents do from 8.6 on"))
	}
	_, err := secured(start)
	return errors.Join(append(errs, err)...)
}

// secured is by what the Agent and the program know each other.
func secured(start *wire.StartUp) (*tls.Config, error) {
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(start.Authority) {
		return nil, errors.New("what the Elastic Agent wrote to standard input has no certificate of an authority")
	}
	own, err := tls.X509KeyPair(start.Certificate, start.Key)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate that the Elastic Agent wrote to standard input: %w", err)
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		ServerName:   start.ServerName,
		RootCAs:      authorities,
		Certificates: []tls.Certificate{own},
	}, nil
}

// dial prepares the connection; it is made when the first stream is opened, and again when it is lost.
func dial(start *wire.StartUp) (*grpc.ClientConn, error) {
	security, err := secured(start)
	if err != nil {
		return nil, err
	}
	target := start.Address
	if !strings.HasPrefix(target, "unix:") {
		target = "passthrough:///" + target // a name is looked up by who dials; localhost is the only one
	}
	limit := messageLimit(start)
	conn, err := grpc.NewClient(target,
		grpc.WithTransportCredentials(credentials.NewTLS(security)),
		grpc.WithNoProxy(), // the Agent is on this host, whatever the environment says
		grpc.WithDisableServiceConfig(),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: longestPause, Backoff: backoff.Config{
			BaseDelay: firstPause, MaxDelay: longestPause, Multiplier: 1.6, Jitter: 0.2,
		}}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(limit), grpc.MaxCallSendMsgSize(limit)))
	if err != nil {
		return nil, fmt.Errorf("preparing the connection to the Elastic Agent at %s: %w", start.Address, err)
	}
	return conn, nil
}

// messageLimit is how large one message may be, in bytes.
func messageLimit(start *wire.StartUp) int {
	if start.MaxMessageSize == 0 {
		return usualMessage
	}
	return int(start.MaxMessageSize)
}
