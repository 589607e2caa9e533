// SPDX-License-Identifier: Apache-2.0

// Package wire is what an Elastic Agent and a program that it runs say to each other: the messages, which are made from
// agent.proto, and the two calls that carry them.
//
// The calls are written by hand. Their names are sent, and have the protocol's package in them; the messages are in a
// package of our own, because the names of two registered messages must differ, and a test links the library, too.
package wire

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
)

// The names by which a program calls its Agent.
const (
	ServiceName   = "proto.ElasticAgent"
	CheckinMethod = "CheckinV2"
	ActionsMethod = "Actions"
)

// FirstResponse is the id of the response by which a program opens Actions: it answers nothing.
const FirstResponse = "init"

// Checkin opens the stream of what is observed and what is expected.
func Checkin(ctx context.Context, c grpc.ClientConnInterface) (grpc.BidiStreamingClient[Observed, Expected], error) {
	s, err := open(ctx, c, CheckinMethod)
	if err != nil {
		return nil, fmt.Errorf("opening the stream of check-ins: %w", err)
	}
	return &grpc.GenericClientStream[Observed, Expected]{ClientStream: s}, nil
}

// Actions opens the stream of what the Agent wants done.
func Actions(ctx context.Context, c grpc.ClientConnInterface) (
	grpc.BidiStreamingClient[ActionResponse, ActionRequest], error,
) {
	s, err := open(ctx, c, ActionsMethod)
	if err != nil {
		return nil, fmt.Errorf("opening the stream of actions: %w", err)
	}
	return &grpc.GenericClientStream[ActionResponse, ActionRequest]{ClientStream: s}, nil
}

// open opens a stream both of whose sides speak when they like.
func open(ctx context.Context, c grpc.ClientConnInterface, method string) (grpc.ClientStream, error) {
	return c.NewStream(ctx, &grpc.StreamDesc{StreamName: method, ServerStreams: true, ClientStreams: true},
		"/"+ServiceName+"/"+method)
}
