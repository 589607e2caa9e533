// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/mapstr"
)

// WholeBeat are the settings of the whole Beat that an Elastic Agent's policy may have. The policy has them once, in its input; every stream brings a copy.
var WholeBeat = []string{"detector", "events", "dataset", "namespace", "heartbeat"}

// ParseStream takes a stream of an Elastic Agent's policy apart: what it says of the whole Beat, with the defaults, and the module that it is. The error names
// everything that is wrong with the former; ParseModule and the module's constructor check the latter.
func ParseStream(stream *conf.C) (Config, *conf.C, error) {
	var all map[string]any
	if err := stream.Unpack(&all); err != nil {
		return Config{}, nil, fmt.Errorf("reading a stream: %w", err)
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
		return Config{}, nil, fmt.Errorf("reading a stream: %w", err)
	}
	cfg, err := Parse(c)
	return cfg, module, err
}

// Difference is a setting about which two streams disagree.
type Difference struct {
	Key   string // such as detector.model
	Value any    // what the one says; nil: nothing
	Other any    // what the other says; nil: nothing
}

// Differences returns in what two configurations, each complete with its defaults, differ of what streams must agree about.
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
			d = append(d, Difference{key, flat[key], other[key]})
		}
	}
	return d, nil
}

// flat is what a policy may say of the whole Beat, by dotted names.
func (c Config) flat() (mapstr.M, error) {
	var m mapstr.M
	all, err := conf.NewConfigFrom(map[string]any{"detector": c.Detector, "events": c.Events, "dataset": c.Dataset, "namespace": c.Namespace, "heartbeat": c.Heartbeat})
	if err == nil {
		err = all.Unpack(&m)
	}
	if err != nil {
		return nil, fmt.Errorf("comparing the settings of two streams: %w", err)
	}
	return m.Flatten(), nil
}
