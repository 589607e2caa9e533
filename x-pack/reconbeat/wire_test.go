// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/elastic/elastic-agent-client/v7/pkg/client"
	"github.com/elastic/elastic-agent-client/v7/pkg/proto"
	"github.com/stretchr/testify/require"
	protobuf "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/reconbeat/reconbeat/internal/agent/wire"
)

// TestOurProtocolIsTheAgents holds the protocol that reconbeat is linked with against the library's: each of its fields
// and values is there, with the same number and type. Names are not sent, and may differ.
func TestOurProtocolIsTheAgents(t *testing.T) {
	compared := map[protoreflect.FullName]bool{}
	for _, row := range []struct{ ours, theirs protobuf.Message }{
		{ours: &wire.StartUp{}, theirs: &proto.StartUpInfo{}},
		{ours: &wire.Expected{}, theirs: &proto.CheckinExpected{}},
		{ours: &wire.Observed{}, theirs: &proto.CheckinObserved{}},
		{ours: &wire.ActionRequest{}, theirs: &proto.ActionRequest{}},
		{ours: &wire.ActionResponse{}, theirs: &proto.ActionResponse{}},
	} {
		compareMessages(t, row.ours.ProtoReflect().Descriptor(), row.theirs.ProtoReflect().Descriptor(), compared)
	}
	all := wire.File_internal_agent_wire_agent_proto.Messages()
	for i := range all.Len() {
		require.True(t, compared[all.Get(i).FullName()], "%s is in no message that is sent", all.Get(i).FullName())
	}
	for _, method := range []string{wire.CheckinMethod, wire.ActionsMethod} {
		found := proto.File_elastic_agent_client_proto.Services().Get(0).Methods().ByName(protoreflect.Name(method))
		require.NotNil(t, found, method)
		require.EqualValues(t, wire.ServiceName, found.Parent().FullName())
		require.True(t, found.IsStreamingClient() && found.IsStreamingServer(), method)
	}
	require.Equal(t, client.ActionResponseInitID, wire.FirstResponse)
}

// compareMessages holds a message of ours, and those in it, against the library's.
func compareMessages(t *testing.T, ours, theirs protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) {
	if seen[ours.FullName()] || ours.FullName() == theirs.FullName() { // the latter: protobuf's own, such as Struct
		return
	}
	seen[ours.FullName()] = true
	for i := range ours.Fields().Len() {
		a := ours.Fields().Get(i)
		b := theirs.Fields().ByNumber(a.Number())
		require.NotNil(t, b, "%s is not in %s", a.FullName(), theirs.FullName())
		require.Equal(t, b.Kind(), a.Kind(), a.FullName())
		require.Equal(t, b.Cardinality(), a.Cardinality(), a.FullName())
		require.Equal(t, b.HasPresence(), a.HasPresence(), a.FullName())
		switch {
		case a.Message() != nil:
			compareMessages(t, a.Message(), b.Message(), seen)
		case a.Enum() != nil:
			require.Equal(t, b.Enum().Values().Len(), a.Enum().Values().Len(), a.Enum().FullName())
			for j := range a.Enum().Values().Len() {
				v := a.Enum().Values().Get(j)
				require.NotNil(t, b.Enum().Values().ByNumber(v.Number()), "%s is not in %s", v.FullName(),
					b.Enum().FullName())
			}
		}
	}
}
