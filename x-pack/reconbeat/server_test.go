// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-client/v7/pkg/client/chunk"
	"github.com/elastic/elastic-agent-client/v7/pkg/proto"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	protobuf "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// agent is the side of the Elastic Agent: the server to which its components connect by mutual TLS, with what their
// units shall be and what they say they are.
type agent struct {
	proto.UnimplementedElasticAgentServer
	t       *testing.T
	startUp []byte // what a component reads from standard input
	limit   int    // of a message; what is larger goes in pieces

	mu       sync.Mutex
	expected *proto.CheckinExpected
	changed  chan struct{} // closed when expected was replaced
	units    map[string]*proto.UnitObserved
	history  map[string][]string // the states of each unit, in order, repetitions left out
	index    uint64
	version  *proto.CheckinObservedVersionInfo
}

const agentToken = "the component's token"

// newAgent makes an Agent whose messages have a size at most.
func newAgent(t *testing.T, limit int) *agent {
	authority, authorityKey := certificate(t, "authority", nil, nil)
	server, serverKey := certificate(t, "agent", authority, authorityKey)
	peer, peerKey := certificate(t, "component", authority, authorityKey)
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	a := &agent{
		t:        t,
		limit:    limit,
		expected: &proto.CheckinExpected{},
		changed:  make(chan struct{}),
		units:    map[string]*proto.UnitObserved{},
		history:  map[string][]string{},
	}
	info := &proto.AgentInfo{Id: "3f5e0b1c-agent", Version: "9.4.0", Mode: proto.AgentManagedMode_MANAGED}
	a.startUp, err = protobuf.Marshal(&proto.StartUpInfo{
		Addr: listener.Addr().
			String(),
		ServerName: "agent",
		Token:      agentToken,
		CaCert:     pemOf(t, authority, nil),
		PeerCert:   pemOf(t, peer, nil),
		PeerKey:    pemOf(t, nil, peerKey),
		Services:   []proto.ConnInfoServices{proto.ConnInfoServices_CheckinV2},
		Supports:   []proto.ConnectionSupports{proto.ConnectionSupports_CheckinChunking},

		MaxMessageSize: uint32(limit),
		AgentInfo:      info,
	})
	require.NoError(t, err)
	s := grpc.NewServer(grpc.MaxRecvMsgSize(limit), grpc.MaxSendMsgSize(limit), grpc.Creds(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
		Certificates: []tls.Certificate{{Certificate: [][]byte{server.Raw}, PrivateKey: serverKey}},
	})))
	proto.RegisterElasticAgentServer(s, a)
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(s.Stop)
	return a
}

// certificate makes one for a name, signed by the authority; without one it is an authority itself.
func certificate(t *testing.T, name string, authority *x509.Certificate,
	authorityKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if authority == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		authority, authorityKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority, key.Public(), authorityKey)
	require.NoError(t, err)
	c, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return c, key
}

func pemOf(t *testing.T, c *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	if c != nil {
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	der, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

// CheckinV2 implements the server: it sends what is expected whenever that changes, and keeps what the component says.
func (a *agent) CheckinV2(stream proto.ElasticAgent_CheckinV2Server) error {
	gone := make(chan error, 1)
	go func() {
		for {
			observed, err := chunk.RecvObserved(stream)
			if err != nil {
				gone <- err
				return
			}
			if observed.Token != agentToken {
				gone <- status.Error(codes.PermissionDenied, "a wrong token")
				return
			}
			a.observe(observed)
		}
	}()
	for {
		a.mu.Lock()
		expected, changed := a.expected, a.changed
		a.mu.Unlock()
		pieces, err := chunk.Expected(expected, a.limit)
		if err != nil {
			return err
		}
		for _, piece := range pieces {
			if err := stream.Send(piece); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case err := <-gone:
			return err
		}
	}
}

func (a *agent) observe(observed *proto.CheckinObserved) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if observed.VersionInfo != nil {
		a.version = observed.VersionInfo
	}
	for _, u := range observed.Units {
		a.units[u.Id] = u
		if h := a.history[u.Id]; len(h) == 0 || h[len(h)-1] != u.State.String() {
			a.history[u.Id] = append(h, u.State.String())
		}
	}
}

// Actions implements the server: it asks nothing, until the component goes.
func (a *agent) Actions(stream proto.ElasticAgent_ActionsServer) error {
	for {
		if _, err := stream.Recv(); err != nil {
			return err
		}
	}
}

// unit makes of a policy's YAML what the Agent sends to a component: the whole under Source, and some of it once more
// in fields of its own.
func (a *agent) unit(kind proto.UnitType, text string) *proto.UnitExpected {
	c, err := conf.NewConfigWithYAML([]byte(text), "policy")
	require.NoError(a.t, err, text)
	var m map[string]any
	require.NoError(a.t, c.Unpack(&m), text)
	config := &proto.UnitExpectedConfig{Source: a.source(m), DataStream: dataStream(m)}
	config.Id, _ = m["id"].(string)
	config.Type, _ = m["type"].(string)
	config.Name, _ = m["name"].(string)
	streams, _ := m["streams"].([]any)
	for _, s := range streams {
		stream, ok := s.(map[string]any)
		require.True(a.t, ok, text)
		id, _ := stream["id"].(string)
		config.Streams = append(config.Streams,
			&proto.Stream{Source: a.source(stream), Id: id, DataStream: dataStream(stream)})
	}
	require.NotEmpty(a.t, config.Id, text)
	return &proto.UnitExpected{
		Id:       config.Id,
		Type:     kind,
		State:    proto.State_HEALTHY,
		LogLevel: proto.UnitLogLevel_INFO,
		Config:   config,
	}
}

func (a *agent) source(m map[string]any) *structpb.Struct {
	s, err := structpb.NewStruct(m)
	require.NoError(a.t, err)
	return s
}

func dataStream(m map[string]any) *proto.DataStream {
	d, _ := m["data_stream"].(map[string]any)
	ds := &proto.DataStream{}
	ds.Namespace, _ = d["namespace"].(string)
	ds.Dataset, _ = d["dataset"].(string)
	ds.Type, _ = d["type"].(string)
	return ds
}

// expect replaces what the component shall run.
func (a *agent) expect(units ...*proto.UnitExpected) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.index++
	for _, u := range units {
		u.ConfigStateIdx = a.index
	}
	a.expected = &proto.CheckinExpected{Units: units, ComponentIdx: a.index}
	close(a.changed)
	a.changed = make(chan struct{})
}

// stateOf is what a unit says it is: state, message, and the index of the configuration that it has seen.
func (a *agent) stateOf(unit string) (state, message string, index uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.units[unit]
	if u == nil {
		return "", "", 0
	}
	return u.State.String(), u.Message, u.ConfigStateIdx
}

// states are those that a unit has gone through.
func (a *agent) states(unit string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.history[unit], " ")
}

// wait waits until a unit is in a state by the newest configuration, with this in its message, and returns the message.
func (a *agent) wait(r *run, unit, state, message string) string {
	a.t.Helper()
	var said string
	r.Until(func() string {
		s, m, _ := a.stateOf(unit)
		return fmt.Sprintf("unit %s does not become %s with %q; it is %s with %q, after %s", unit, state, message, s, m,
			a.states(unit))
	}, func() bool {
		a.mu.Lock()
		newest := a.index
		a.mu.Unlock()
		s, m, index := a.stateOf(unit)
		said = m
		return s == state && strings.Contains(m, message) && index == newest
	})
	return said
}
