// SPDX-License-Identifier: Apache-2.0

package managed

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"runtime/pprof"
	"slices"
	"time"

	"github.com/elastic/beats/v7/libbeat/management"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/reconbeat/reconbeat/internal/agent/wire"
)

// hook is a file of the diagnostics that somebody in the Beat makes.
type hook struct {
	name, description, file, contentType string
	content                              management.DiagnosticHook
}

// profiles are what the runtime knows of itself, each a file of the whole program's diagnostics.
var profiles = []struct{ name, description string }{
	{name: "goroutine", description: "the stacks of everything that runs"},
	{name: "heap", description: "what the memory that is in use was asked for"},
	{name: "allocs", description: "what all memory so far was asked for"},
	{name: "threadcreate", description: "what threads were made for"},
	{name: "block", description: "what waits, where that is measured"},
	{name: "mutex", description: "who holds locks that others wait for, where that is measured"},
}

const (
	// cpuProfile is the further file that an Agent asks for by name: what a person who asks for CPU profiles wants.
	cpuProfile = "CPU"
	// usualProfile is for how long a CPU profile measures. An Agent waits a minute for an answer with one.
	usualProfile = 30 * time.Second
)

// Act implements agent.Component: it answers what the Agent asks.
func (b *Beat) Act(ctx context.Context, request *wire.ActionRequest) *wire.ActionResponse {
	switch request.Type {
	case wire.ActionRequest_TYPE_DIAGNOSTICS:
		return b.diagnose(ctx, request)
	case wire.ActionRequest_TYPE_CUSTOM:
		result, err := b.do(ctx, request)
		if err != nil {
			return refusal(err)
		}
		return &wire.ActionResponse{Result: result}
	}
	return refusal(fmt.Errorf("reconbeat knows no actions of type %d", request.Type))
}

// refusal is the answer to what cannot be done.
func refusal(err error) *wire.ActionResponse {
	text, _ := json.Marshal(map[string]string{"error": err.Error()}) // a text can always be written
	return &wire.ActionResponse{Status: wire.ActionResponse_STATUS_FAILED, Result: text}
}

// do does what somebody in the Beat has offered by name.
func (b *Beat) do(ctx context.Context, request *wire.ActionRequest) ([]byte, error) {
	b.mu.Lock()
	action := b.actions[request.Name]
	b.mu.Unlock()
	if action == nil {
		return nil, fmt.Errorf("reconbeat has no action %q", request.Name)
	}
	var parameters map[string]any
	if err := json.Unmarshal(request.Parameters, &parameters); err != nil {
		return nil, fmt.Errorf("reading the parameters of action %q: %w", request.Name, err)
	}
	result, err := action.Execute(ctx, parameters)
	if err != nil {
		return nil, fmt.Errorf("action %q: %w", request.Name, err)
	}
	text, err := json.Marshal(result)
	if err != nil {
		return nil, fmt.Errorf("writing the result of action %q: %w", request.Name, err)
	}
	return text, nil
}

// diagnose makes the files that the Agent asks for: of the whole program, of a unit, or all of them. What the Beat has
// is the same for each of its units.
func (b *Beat) diagnose(ctx context.Context, request *wire.ActionRequest) *wire.ActionResponse {
	further, err := furtherOf(request)
	if err != nil {
		return refusal(err)
	}
	b.mu.Lock()
	hooks, rendered := slices.Clone(b.hooks), b.rendered
	known := slices.ContainsFunc(b.units, func(u *unit) bool { return u.id == request.Unit && u.kind == request.Kind })
	b.mu.Unlock()
	if request.Scope == wire.ActionRequest_SCOPE_UNIT && !known {
		return refusal(fmt.Errorf("reconbeat has no unit %q", request.Unit))
	}
	var files []*wire.Diagnostic
	add := func(h hook) {
		files = append(files, &wire.Diagnostic{Name: h.name, File: h.file, Description: h.description,
			ContentType: h.contentType, Content: h.content(), At: timestamppb.Now()})
	}
	if request.Scope != wire.ActionRequest_SCOPE_UNIT {
		for _, p := range profiles {
			add(hook{p.name, p.description, p.name + ".pprof.gz", "application/octet-stream", profileOf(p.name)})
		}
		add(hook{"reconbeat-log", "the last that was logged, without documents", "reconbeat-log.ndjson",
			"application/x-ndjson", b.logged.content})
		if slices.Contains(further, cpuProfile) {
			add(hook{"cpu", "what the processors were used for, for half a minute", "cpu.pprof", "application/octet-stream",
				func() []byte { return measureCPU(ctx, b.profileFor) }})
		}
	}
	if request.Scope != wire.ActionRequest_SCOPE_COMPONENT {
		add(hook{"beat-rendered-config", "the configuration in force, without its secrets",
			"beat-rendered-config.yml", "application/yaml", func() []byte { return rendered }})
		for _, h := range hooks {
			add(h)
		}
	}
	return &wire.ActionResponse{Diagnostics: files}
}

// furtherOf are the further files that an Agent asks for, by name. One that is not known is of a later Agent.
func furtherOf(request *wire.ActionRequest) ([]string, error) {
	if len(request.Parameters) == 0 {
		return nil, nil
	}
	var parameters struct {
		Further []string `json:"additional_metrics"`
	}
	if err := json.Unmarshal(request.Parameters, &parameters); err != nil {
		return nil, fmt.Errorf("reading the parameters of a request for diagnostics: %w", err)
	}
	return parameters.Further, nil
}

// profileOf makes a profile of the runtime's. What is wrong stands in the place of it, as in every file here.
func profileOf(name string) func() []byte {
	return func() []byte {
		var b bytes.Buffer
		if err := pprof.Lookup(name).WriteTo(&b, 0); err != nil {
			return []byte(err.Error())
		}
		return b.Bytes()
	}
}

// measureCPU makes a CPU profile of so long, or of less where the connection ends before. One process has one at a
// time.
func measureCPU(ctx context.Context, d time.Duration) []byte {
	var b bytes.Buffer
	if err := pprof.StartCPUProfile(&b); err != nil {
		return fmt.Appendf(nil, "measuring the use of the processors: %v\n", err)
	}
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	pprof.StopCPUProfile()
	return b.Bytes()
}
