// SPDX-License-Identifier: Apache-2.0

// Package agenttest is an Elastic Agent for tests: the server to which the programs that an Agent runs connect by
// mutual TLS. It hands out what their units shall be, keeps what they say they are, asks for diagnostics, and
// misbehaves when a test wants it to.
package agenttest

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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/reconbeat/reconbeat/internal/agent/wire"
	"github.com/reconbeat/reconbeat/internal/beattest"
)

// Token is what the programs prove themselves by.
const Token = "the component's token"

// Agent is the side of the Elastic Agent, with what its units shall be and what they say they are.
type Agent struct {
	t        testing.TB
	start    *wire.StartUp
	security *tls.Config
	network  string
	address  string

	mu       sync.Mutex
	server   *grpc.Server
	expected []*wire.Expected // the messages in which it goes out
	changed  chan struct{}    // closed when expected was replaced
	broken   chan struct{}    // closed when every stream is to end
	units    map[string]*wire.ObservedUnit
	history  map[string][]string // the states of each unit, in order, repetitions left out
	index    uint64
	about    *wire.Observed // the last one in which a program said who it is
	last     *wire.Observed
	checkins int // messages so far
	streams  int
	parts    *wire.Observed // of an observation that comes in chunks
	actions  chan *wire.ActionRequest
	answers  chan *wire.ActionResponse
}

// New starts an Agent, which listens until the test ends. A change of what it writes to its programs' standard input,
// such as the address "unix", may be made before.
func New(t testing.TB, changes ...func(*wire.StartUp)) *Agent {
	authority, authorityKey := certificate(t, "authority", nil, nil)
	server, serverKey := certificate(t, "agent", authority, authorityKey)
	peer, peerKey := certificate(t, "component", authority, authorityKey)
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	a := &Agent{
		t:        t,
		expected: []*wire.Expected{{}},
		changed:  make(chan struct{}),
		broken:   make(chan struct{}),
		units:    map[string]*wire.ObservedUnit{},
		history:  map[string][]string{},
		actions:  make(chan *wire.ActionRequest),
		answers:  make(chan *wire.ActionResponse, 16),
		network:  "tcp",
		address:  beattest.Address(t),
		security: &tls.Config{
			MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
			Certificates: []tls.Certificate{{Certificate: [][]byte{server.Raw}, PrivateKey: serverKey}},
		},
	}
	a.start = &wire.StartUp{
		ServerName:  "agent",
		Token:       Token,
		Authority:   pemOf(t, authority, nil),
		Certificate: pemOf(t, peer, nil),
		Key:         pemOf(t, nil, peerKey),
		Services:    []wire.Service{wire.Service_SERVICE_CHECKIN},
		Abilities:   []wire.Ability{wire.Ability_ABILITY_CHUNKS},
		Agent:       &wire.About{Id: "3f5e0b1c-agent", Version: "9.4.0"},
	}
	for _, change := range changes {
		change(a.start)
	}
	if a.start.Address == "unix" {
		a.network, a.address = "unix", t.TempDir()+"/agent.sock"
	}
	a.Up()
	t.Cleanup(a.Down)
	return a
}

// Start is what a program finds on its standard input.
func (a *Agent) Start() []byte {
	text, err := proto.Marshal(a.start)
	require.NoError(a.t, err)
	return text
}

// Up has the Agent listen, after Down at the same address.
func (a *Agent) Up() {
	listener, err := net.Listen(a.network, a.address)
	require.NoError(a.t, err)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.address = listener.Addr().String()
	a.start.Address = a.address
	if a.network == "unix" {
		a.start.Address = "unix://" + a.address
	}
	limit := int(a.start.MaxMessageSize)
	if limit == 0 {
		limit = 4 << 20
	}
	a.server = grpc.NewServer(grpc.Creds(credentials.NewTLS(a.security)), grpc.MaxRecvMsgSize(limit),
		grpc.MaxSendMsgSize(limit))
	a.server.RegisterService(&service, a)
	go func(s *grpc.Server) { _ = s.Serve(listener) }(a.server)
}

// Down kills the Agent: connections break, and nobody listens.
func (a *Agent) Down() {
	a.mu.Lock()
	server := a.server
	a.mu.Unlock()
	server.Stop()
}

// Break ends all streams. The Agent goes on.
func (a *Agent) Break() {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.broken)
	a.broken = make(chan struct{})
}

// service is what an Agent serves.
var service = grpc.ServiceDesc{
	ServiceName: wire.ServiceName,
	HandlerType: (*any)(nil),
	Streams: []grpc.StreamDesc{
		{StreamName: wire.CheckinMethod, ServerStreams: true, ClientStreams: true,
			Handler: func(a any, s grpc.ServerStream) error {
				return a.(*Agent).checkin(&grpc.GenericServerStream[wire.Observed, wire.Expected]{ServerStream: s})
			}},
		{StreamName: wire.ActionsMethod, ServerStreams: true, ClientStreams: true,
			Handler: func(a any, s grpc.ServerStream) error {
				return a.(*Agent).act(&grpc.GenericServerStream[wire.ActionResponse, wire.ActionRequest]{ServerStream: s})
			}},
	},
}

// certificate makes one for a name, signed by the authority; without one it is an authority itself.
func certificate(t testing.TB, name string, authority *x509.Certificate,
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

func pemOf(t testing.TB, c *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	if c != nil {
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	der, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

// checkin serves a stream: it sends what is expected whenever that changes, and keeps what the program says. As an
// Agent does, it answers an observation in which something is not what it shall be with all that shall be.
func (a *Agent) checkin(stream grpc.BidiStreamingServer[wire.Observed, wire.Expected]) error {
	gone := make(chan error, 1)
	unsettled := make(chan struct{}, 1)
	go func() {
		for {
			observed, err := stream.Recv()
			if err != nil {
				gone <- nil
				return
			}
			if observed.Token != Token {
				gone <- status.Error(codes.PermissionDenied, "a wrong token")
				return
			}
			if !a.observe(observed) {
				select {
				case unsettled <- struct{}{}:
				default:
				}
			}
		}
	}()
	a.mu.Lock()
	a.streams++
	broken := a.broken
	a.mu.Unlock()
	changed, err := a.sayExpected(stream)
	for err == nil {
		select {
		case <-changed:
			changed, err = a.sayExpected(stream)
		case <-unsettled:
			err = stream.Send(a.reminder())
		case <-broken:
			return status.Error(codes.Unavailable, "the Agent ends every stream")
		case err := <-gone:
			return err
		}
	}
	return err
}

// sayExpected sends all that shall be, and returns what is closed when that changes.
func (a *Agent) sayExpected(stream grpc.BidiStreamingServer[wire.Observed, wire.Expected]) (<-chan struct{}, error) {
	a.mu.Lock()
	expected, changed := a.expected, a.changed
	a.mu.Unlock()
	for _, m := range expected {
		if err := stream.Send(m); err != nil {
			return nil, err
		}
	}
	return changed, nil
}

// reminder is all that shall be, in another order than before, without the configurations that the program has said
// that it has.
func (a *Agent) reminder() *wire.Expected {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := &wire.Expected{}
	for _, piece := range a.expected {
		proto.Merge(all, piece)
	}
	all.ChunkedAt = nil
	slices.Reverse(all.Units)
	for _, u := range all.Units {
		if is := a.units[u.Id]; is != nil && is.Index == u.Index {
			u.Configuration = nil
		}
	}
	return all
}

// observe keeps what a program says, and reports whether all of it is as it shall be.
func (a *Agent) observe(observed *wire.Observed) (settled bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.checkins++
	if at := observed.ChunkedAt; at != nil {
		if a.parts == nil || !proto.Equal(a.parts.ChunkedAt, at) {
			a.parts = observed
			return true
		}
		if len(observed.Units) > 0 {
			a.parts.Units = append(a.parts.Units, observed.Units...)
			return true
		}
		observed = a.parts
	}
	a.parts = nil
	if observed.Version != nil {
		a.about = observed
	}
	a.last = observed
	for _, u := range observed.Units {
		a.units[u.Id] = u
		if h := a.history[u.Id]; len(h) == 0 || h[len(h)-1] != name(u.State) {
			a.history[u.Id] = append(h, name(u.State))
		}
	}
	for _, m := range a.expected {
		for _, u := range m.Units {
			if is := a.units[u.Id]; is == nil || is.State != u.State || is.Index != u.Index {
				return false
			}
		}
	}
	return true
}

// name is a state as an Agent shows it.
func name(s wire.State) string { return strings.TrimPrefix(s.String(), "STATE_") }

// act serves a stream: it asks a program for what the test wants to know.
func (a *Agent) act(stream grpc.BidiStreamingServer[wire.ActionResponse, wire.ActionRequest]) error {
	gone := make(chan error, 1)
	go func() {
		for {
			answer, err := stream.Recv()
			if err != nil {
				gone <- nil
				return
			}
			if answer.Token != Token {
				gone <- status.Error(codes.PermissionDenied, "a wrong token")
				return
			}
			if answer.Id != wire.FirstResponse {
				a.answers <- answer
			}
		}
	}()
	a.mu.Lock()
	broken := a.broken
	a.mu.Unlock()
	for {
		select {
		case request := <-a.actions:
			if err := stream.Send(request); err != nil {
				return err
			}
		case <-broken:
			return status.Error(codes.Unavailable, "the Agent ends every stream")
		case err := <-gone:
			return err
		}
	}
}

// Unit makes of a policy's YAML what the Agent sends to a program: the whole under Source, and some of it once more in
// fields of its own.
func (a *Agent) Unit(kind wire.Kind, text string) *wire.ExpectedUnit {
	config := Configuration(a.t, text)
	return &wire.ExpectedUnit{
		Id:            config.Id,
		Kind:          kind,
		State:         wire.State_STATE_HEALTHY,
		Level:         wire.Level_LEVEL_INFO,
		Configuration: config,
	}
}

// Configuration makes of the YAML of an input or an output what the Agent sends to a program.
func Configuration(t testing.TB, text string) *wire.Configuration {
	c, err := conf.NewConfigWithYAML([]byte(text), "policy")
	require.NoError(t, err, text)
	var m map[string]any
	require.NoError(t, c.Unpack(&m), text)
	config := &wire.Configuration{Source: source(t, m), DataStream: dataStream(m)}
	config.Id, _ = m["id"].(string)
	config.Type, _ = m["type"].(string)
	config.Name, _ = m["name"].(string)
	streams, _ := m["streams"].([]any)
	for _, s := range streams {
		stream, ok := s.(map[string]any)
		require.True(t, ok, text)
		id, _ := stream["id"].(string)
		config.Streams = append(config.Streams,
			&wire.Stream{Source: source(t, stream), Id: id, DataStream: dataStream(stream)})
	}
	require.NotEmpty(t, config.Id, text)
	return config
}

func source(t testing.TB, m map[string]any) *structpb.Struct {
	s, err := structpb.NewStruct(m)
	require.NoError(t, err)
	return s
}

func dataStream(m map[string]any) *wire.DataStream {
	d, _ := m["data_stream"].(map[string]any)
	ds := &wire.DataStream{}
	ds.Namespace, _ = d["namespace"].(string)
	ds.Dataset, _ = d["dataset"].(string)
	ds.Type, _ = d["type"].(string)
	return ds
}

// Expect replaces what the program shall run.
func (a *Agent) Expect(units ...*wire.ExpectedUnit) { a.ExpectWith(&wire.Expected{}, units...) }

// ExpectWith replaces what the program shall run, with what holds for the whole of it.
func (a *Agent) ExpectWith(whole *wire.Expected, units ...*wire.ExpectedUnit) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.index++
	for _, u := range units {
		u.Index = a.index
	}
	whole.Units, whole.Agent = units, a.start.Agent
	whole.FeaturesIndex, whole.ComponentIndex = a.index, a.index
	a.replace([]*wire.Expected{whole})
}

// ExpectInPieces replaces what the program shall run, and sends each unit in a message of its own.
func (a *Agent) ExpectInPieces(units ...*wire.ExpectedUnit) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.index++
	at := timestamppb.Now()
	var pieces []*wire.Expected
	for _, u := range units {
		u.Index = a.index
		pieces = append(pieces, &wire.Expected{Units: []*wire.ExpectedUnit{u}, ChunkedAt: at})
	}
	pieces[0].FeaturesIndex, pieces[0].ComponentIndex, pieces[0].Agent = a.index, a.index, a.start.Agent
	a.replace(append(pieces, &wire.Expected{ChunkedAt: at}))
}

func (a *Agent) replace(messages []*wire.Expected) {
	a.expected = messages
	close(a.changed)
	a.changed = make(chan struct{})
}

// Newest is the index of what is expected.
func (a *Agent) Newest() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.index
}

// StateOf is what a unit says it is: state, message, and the index of the configuration that it has.
func (a *Agent) StateOf(unit string) (state, message string, index uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.units[unit]
	if u == nil {
		return "", "", 0
	}
	return name(u.State), u.Message, u.Index
}

// Payload is what a unit says beside its state.
func (a *Agent) Payload(unit string) map[string]any {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.units[unit].GetPayload().AsMap()
}

// States are those that a unit has gone through.
func (a *Agent) States(unit string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.history[unit], " ")
}

// Last is the last that a program has observed; nil before the first.
func (a *Agent) Last() *wire.Observed {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}

// Introduced is the last observation in which a program said who it is.
func (a *Agent) Introduced() *wire.Observed {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.about
}

// Streams is how many streams of check-ins there were.
func (a *Agent) Streams() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.streams
}

// Checkins is how many messages came on the streams of check-ins.
func (a *Agent) Checkins() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.checkins
}

// Ask has a program do something, and returns its answer.
func (a *Agent) Ask(request *wire.ActionRequest) *wire.ActionResponse {
	a.t.Helper()
	select {
	case a.actions <- request:
	case <-time.After(time.Minute):
		a.t.Fatal("nobody takes actions")
	}
	select {
	case answer := <-a.answers:
		require.Equal(a.t, request.Id, answer.Id)
		return answer
	case <-time.After(time.Minute):
		a.t.Fatal("no answer comes")
		return nil
	}
}

// Diagnose asks a unit for its diagnostics, by file name.
func (a *Agent) Diagnose(unit string) map[string]string {
	a.t.Helper()
	answer := a.Ask(&wire.ActionRequest{
		Id:         "diagnose " + unit,
		Type:       wire.ActionRequest_TYPE_DIAGNOSTICS,
		Unit:       unit,
		Kind:       wire.Kind_KIND_INPUT,
		Scope:      wire.ActionRequest_SCOPE_UNIT,
		Parameters: []byte("{}"),
	})
	require.Equal(a.t, wire.ActionResponse_STATUS_SUCCESS, answer.Status, string(answer.Result))
	files := map[string]string{}
	for _, d := range answer.Diagnostics {
		files[d.File] = string(d.Content)
	}
	return files
}

// Becomes waits, by until, for a unit to be in a state by the newest configuration with this in its message, which it
// returns.
func (a *Agent) Becomes(until func(why func() string, condition func() bool), unit, state, message string) string {
	var said string
	until(func() string { return "not " + state + " with " + message + ": " + a.Describe(unit) }, func() bool {
		var now string
		var index uint64
		now, said, index = a.StateOf(unit)
		return now == state && strings.Contains(said, message) && index == a.Newest()
	})
	return said
}

// Describe is a unit's state for a message of a test that fails.
func (a *Agent) Describe(unit string) string {
	state, message, index := a.StateOf(unit)
	return fmt.Sprintf("%s is %s with %q by configuration %d, after %s", unit, state, message, index, a.States(unit))
}
