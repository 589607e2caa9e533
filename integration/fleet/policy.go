// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Policy is what Fleet stores of a package that somebody has added to the policy of their Agents: what is switched on,
// and the value of every option. It starts as [Package.Defaults].
type Policy struct {
	ID        string
	Namespace string
	Inputs    []PolicyInput
}

// PolicyInput is an input of a [Policy].
type PolicyInput struct {
	Type    string
	Enabled bool
	Vars    map[string]any
	Streams []PolicyStream
}

// PolicyStream is a stream of a [PolicyInput], by its data stream.
type PolicyStream struct {
	Dataset string
	Enabled bool
	Vars    map[string]any
}

// Defaults is the policy that Kibana shows to somebody who adds the package.
func (p *Package) Defaults(id, namespace string) *Policy {
	policy := &Policy{ID: id, Namespace: namespace}
	for _, in := range p.Template.Inputs {
		input := PolicyInput{Type: in.Type, Vars: defaults(in.Vars)}
		for _, d := range p.dataStreams {
			if s, has := d.stream(in.Type); has {
				on := s.Enabled == nil || *s.Enabled
				input.Enabled = input.Enabled || on
				input.Streams = append(input.Streams, PolicyStream{Dataset: d.Dataset, Enabled: on, Vars: defaults(s.Vars)})
			}
		}
		policy.Inputs = append(policy.Inputs, input)
	}
	return policy
}

// defaults are the values that options have at first: nil for one that has none.
func defaults(vars []Variable) map[string]any {
	values := map[string]any{}
	for _, v := range vars {
		values[v.Name] = v.Default
		if v.Default == nil && v.Multi {
			values[v.Name] = []any{}
		}
	}
	return values
}

// Switch switches an input with all its streams on or off, as the switch of the input in Kibana does.
func (p *Policy) Switch(input string, on bool) {
	for i := range p.Inputs {
		in := &p.Inputs[i]
		if in.Type != input {
			continue
		}
		in.Enabled = on
		for j := range in.Streams {
			in.Streams[j].Enabled = on
		}
	}
}

// SwitchStream switches a stream of an input on or off.
func (p *Policy) SwitchStream(input, dataset string, on bool) error {
	for i := range p.Inputs {
		for j := range p.Inputs[i].Streams {
			if s := &p.Inputs[i].Streams[j]; p.Inputs[i].Type == input && s.Dataset == dataset {
				s.Enabled = on
				return nil
			}
		}
	}
	return fmt.Errorf("the policy has no stream of input %s for the data set %s", input, dataset)
}

// Set chooses an option's value in every place of an input that has it: its own options, and those of its streams.
func (p *Policy) Set(input, option string, value any) error {
	set := false
	for _, in := range p.Inputs {
		if in.Type != input {
			continue
		}
		places := []map[string]any{in.Vars}
		for _, s := range in.Streams {
			places = append(places, s.Vars)
		}
		for _, vars := range places {
			if _, has := vars[option]; has {
				vars[option], set = value, true
			}
		}
	}
	if !set {
		return fmt.Errorf("input %s has no option %s", input, option)
	}
	return nil
}

// Upgrade makes of a policy of an older version of the package one of this: what was chosen stays, what is new comes as
// it is by default, an input or a stream that is gone goes. So Fleet's updatePackageInputs has it, in
// x-pack/platform/plugins/shared/fleet/server/services/package_policy.ts.
func (p *Package) Upgrade(old *Policy) *Policy {
	upgraded := p.Defaults(old.ID, old.Namespace)
	for i := range upgraded.Inputs {
		in := &upgraded.Inputs[i]
		at := slices.IndexFunc(old.Inputs, func(o PolicyInput) bool { return o.Type == in.Type })
		if at < 0 {
			continue
		}
		was := old.Inputs[at]
		in.Enabled = was.Enabled
		keep(in.Vars, was.Vars)
		for j := range in.Streams {
			s := &in.Streams[j]
			if at := slices.IndexFunc(was.Streams, func(o PolicyStream) bool { return o.Dataset == s.Dataset }); at >= 0 {
				s.Enabled = was.Streams[at].Enabled
				keep(s.Vars, was.Streams[at].Vars)
			}
		}
	}
	return upgraded
}

// keep puts the values that were chosen, or were a default, in the place of the new defaults. Options that are gone are
// left out: no template asks for them.
func keep(values, old map[string]any) {
	for name, value := range old {
		if _, has := values[name]; has && value != nil {
			values[name] = value
		}
	}
}

// Missing are the options that must have a value and have none, for which Fleet would not save the policy.
func (p *Package) Missing(policy *Policy) (names []string) {
	missing := func(vars []Variable, values map[string]any) {
		for _, v := range vars {
			value := values[v.Name]
			list, isList := value.([]any)
			if v.Required && (value == nil || value == "" || isList && len(list) == 0) {
				names = append(names, v.Name)
			}
		}
	}
	for _, in := range policy.Inputs {
		if !in.Enabled {
			continue
		}
		manifest, _ := p.Input(in.Type)
		missing(manifest.Vars, in.Vars)
		for _, s := range in.Streams {
			if d, has := p.of(s.Dataset); has && s.Enabled {
				stream, _ := d.stream(in.Type)
				missing(stream.Vars, s.Vars)
			}
		}
	}
	return names
}

// of is the data stream of a data set.
func (p *Package) of(dataset string) (dataStream, bool) {
	for _, d := range p.dataStreams {
		if d.Dataset == dataset {
			return d, true
		}
	}
	return dataStream{}, false
}

// Inputs are those of the Agent's policy that Fleet makes of a policy of the package, as
// x-pack/platform/plugins/shared/fleet/server/services/agent_policies/package_policies_to_agent_inputs.ts has it.
func (p *Package) Inputs(policy *Policy) (inputs []map[string]any, err error) {
	for _, in := range policy.Inputs {
		manifest, has := p.Input(in.Type)
		if !in.Enabled || !has {
			continue
		}
		var streams []any
		for _, s := range in.Streams {
			if !s.Enabled {
				continue
			}
			stream, err := p.compile(policy, manifest, in, s)
			if err != nil {
				return nil, fmt.Errorf("making input %s for the data set %s: %w", in.Type, s.Dataset, err)
			}
			streams = append(streams, stream)
		}
		input := map[string]any{
			"id":                in.Type + "-" + p.Template.Name + "-" + policy.ID,
			"name":              p.Name + "-1",
			"revision":          1,
			"type":              in.Type,
			"use_output":        "default",
			"package_policy_id": policy.ID,
			"data_stream":       map[string]any{"namespace": policy.Namespace},
			"meta": map[string]any{
				"package": map[string]any{"name": p.Name, "version": p.Version, "policy_template": p.Template.Name},
			},
		}
		if manifest.TemplatePath != "" {
			own, err := p.render(manifest.Vars, in.Vars, "agent", "input", manifest.TemplatePath)
			if err != nil {
				return nil, fmt.Errorf("making input %s: %w", in.Type, err)
			}
			maps.Copy(input, own)
		}
		input["streams"] = streams
		inputs = append(inputs, input)
	}
	return inputs, nil
}

// compile makes a stream of an input.
func (p *Package) compile(policy *Policy, manifest Input, in PolicyInput, s PolicyStream) (map[string]any, error) {
	d, has := p.of(s.Dataset)
	if !has {
		return nil, fmt.Errorf("the package has no such data stream")
	}
	part, has := d.stream(in.Type)
	if !has {
		return nil, fmt.Errorf("the input has no part in it")
	}
	values := maps.Clone(in.Vars)
	maps.Copy(values, s.Vars)
	rendered, err := p.render(slices.Concat(manifest.Vars, part.Vars), values, "data_stream", d.folder, "agent", "stream",
		part.TemplatePath)
	if err != nil {
		return nil, err
	}
	stream := map[string]any{"id": in.Type + "-" + d.Dataset + "-" + policy.ID}
	maps.Copy(stream, rendered)
	target := map[string]any{"type": d.Type, "dataset": d.Dataset}
	own, _ := rendered["data_stream"].(map[string]any)
	maps.Copy(target, own)
	stream["data_stream"] = target
	return stream, nil
}

func (p *Package) render(vars []Variable, values map[string]any, path ...string) (map[string]any, error) {
	text, err := os.ReadFile(filepath.Join(append([]string{p.dir}, path...)...))
	if err != nil {
		return nil, err
	}
	return Render(string(text), vars, values)
}

// Permission is what an Agent may do with the data streams of a name, in which * stands for anything.
type Permission struct {
	Name       string
	Privileges []string
}

// Permissions are what Fleet lets the Agents of a policy write to: one entry for each stream that is switched on, as
// x-pack/platform/plugins/shared/fleet/server/services/agent_policies/package_policies_to_agent_permissions.ts has it.
func (p *Package) Permissions(policy *Policy) (all []Permission, err error) {
	for _, in := range policy.Inputs {
		manifest, has := p.Input(in.Type)
		if !in.Enabled || !has {
			continue
		}
		for _, s := range in.Streams {
			if !s.Enabled {
				continue
			}
			stream, err := p.compile(policy, manifest, in, s)
			if err != nil {
				return nil, fmt.Errorf("permitting input %s to write to the data set %s: %w", in.Type, s.Dataset, err)
			}
			target, _ := stream["data_stream"].(map[string]any)
			dataset, namespace := target["dataset"], any(policy.Namespace)
			d, _ := p.of(s.Dataset)
			if d.Elasticsearch.DynamicDataset {
				dataset = "*"
			}
			if d.Elasticsearch.DynamicNamespace {
				namespace = "*"
			}
			privileges := d.Elasticsearch.Privileges.Indices
			if privileges == nil {
				privileges = []string{"auto_configure", "create_doc"}
			}
			all = append(all, Permission{
				Name:       fmt.Sprintf("%v-%v-%v", target["type"], dataset, namespace),
				Privileges: privileges,
			})
		}
	}
	return all, nil
}
