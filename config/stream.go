// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/mapstr"
)

// WholeBeat are the settings of the whole Beat that an Elastic Agent's policy may have. The policy has them once, in
// its input; every stream brings a copy.
var WholeBeat = []string{"detector", "controls", "events", "dataset", "namespace", "heartbeat", "feedback"}

// Unknown is the key under which a stream brings the names of those settings of its input that are neither the Agent's
// nor ours.
const Unknown = "unknown"

// Stream is a stream of an Elastic Agent's policy.
type Stream struct {
	Whole   Config   // its settings of the whole Beat, with the defaults
	Module  *conf.C  // its module; nil when the stream cannot be read
	Unknown []string // the unknown settings of its input
}

// ParseStream divides a stream of an Elastic Agent's policy into its module and its settings of the whole Beat. The
// error names everything that is wrong with the latter; ParseModule and the module's constructor check the module.
func ParseStream(stream *conf.C) (Stream, error) {
	var all map[string]any
	if err := stream.Unpack(&all); err != nil {
		return Stream{}, fmt.Errorf("reading a stream: %w", err)
	}
	var s Stream
	if names, ok := all[Unknown].([]any); ok {
		for _, n := range names {
			s.Unknown = append(s.Unknown, fmt.Sprint(n))
		}
		delete(all, Unknown)
	}
	shared := map[string]any{}
	for _, name := range WholeBeat {
		if v, ok := all[name]; ok {
			shared[name] = v
			delete(all, name)
		}
	}
	module, errModule := conf.NewConfigFrom(all)
	c, errShared := conf.NewConfigFrom(shared)
	if err := errors.Join(errModule, errShared); err != nil {
		return Stream{}, fmt.Errorf("reading a stream: %w", err)
	}
	var err error
	s.Module = module
	s.Whole, err = Parse(c)
	return s, err
}

// Difference is a setting about which two streams disagree.
type Difference struct {
	Key   string // such as detector.model
	Value any    // of the first stream; nil: it is missing there
	Other any    // of the second; nil: it is missing there
}

// Differences returns the settings in which two streams differ though they must agree. Each configuration is complete
// with its defaults.
func Differences(a, b Config) ([]Difference, error) {
	flat, err := a.flat()
	if err != nil {
		return nil, err
	}
	other, err := b.flat()
	if err != nil {
		return nil, err
	}
	keys := maps.Clone(flat)
	maps.Copy(keys, other)
	var d []Difference
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !reflect.DeepEqual(flat[key], other[key]) {
			d = append(d, Difference{Key: key, Value: flat[key], Other: other[key]})
		}
	}
	return d, nil
}

// flat are the settings of the whole Beat by their dotted names; those of a rule stand under the rule's id.
func (c Config) flat() (mapstr.M, error) {
	var m mapstr.M
	all, err := conf.NewConfigFrom(map[string]any{
		"detector": c.Detector, "controls": c.Controls, "events": c.Events, "dataset": c.Dataset, "namespace": c.Namespace,
		"heartbeat": c.Heartbeat,
	})
	if err == nil {
		err = all.Unpack(&m)
	}
	if c.Feedback.FromKibana != nil {
		var settings mapstr.M
		err = errors.Join(err, c.Feedback.FromKibana.Unpack(&settings))
		m["feedback"] = mapstr.M{"from_kibana": settings}
	}
	rules := mapstr.M{}
	for i, r := range c.Detector.Rules {
		override := mapstr.M{}
		err = errors.Join(err, r.Unpack(&override))
		id, named := override["id"].(string)
		if !named {
			id = strconv.Itoa(i)
		}
		delete(override, "id")
		earlier, _ := rules[id].(mapstr.M)
		rules[id] = mapstr.Union(earlier, override) // a later override of a rule goes on where the earlier one ends
	}
	if err == nil {
		_, err = m.Put("detector.rules", rules)
	}
	if err != nil {
		return nil, fmt.Errorf("comparing the settings of two streams: %w", err)
	}
	return m.Flatten(), nil
}
