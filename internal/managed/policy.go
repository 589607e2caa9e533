// SPDX-License-Identifier: Apache-2.0

package managed

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/elastic/beats/v7/libbeat/common/reload"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/agent/wire"
	"github.com/reconbeat/reconbeat/internal/dataset"
)

// agents are the settings of an input that are the Agent's or Fleet's: what Fleet makes an input of, what the Agent
// adds, and what it takes out before it hands the input on.
var agents = []string{
	"_runtime_experimental",
	"condition",
	"data_stream",
	"enabled",
	"id",
	"log_level",
	"meta",
	"name",
	"original_id",
	"package",
	"package_policy_id",
	"policy",
	"revision",
	"streams",
	"type",
	"use_output",
}

// unknown are the settings of an input that are neither the Agent's nor ours.
func unknown(input map[string]any) (names []any) {
	for _, name := range slices.Sorted(maps.Keys(input)) {
		if name != "processors" && !slices.Contains(agents, name) && !slices.Contains(config.WholeBeat, name) {
			names = append(names, name)
		}
	}
	return names
}

// Modules makes of an input of the Agent's policy its modules: one a stream, into which what the input says of the
// whole Beat is copied.
//
// Other Beats give each stream the index and the event.dataset of its data stream. reconbeat's documents go to several
// data streams, whichever module they come from; so what is taken of data_stream is the namespace, and which there are.
//
// Fleet permits the Agent to write where a stream of the policy does. So its policies have, beside the module, streams
// that only name a data stream, with what the whole Beat does there. They become modules that are not enabled: a
// configuration stands in the place of its stream.
func Modules(input *wire.Configuration) ([]*reload.ConfigWithMeta, error) {
	if len(input.GetStreams()) == 0 {
		return nil, fmt.Errorf("input %q has no streams; each stream is a module", input.GetId())
	}
	whole := nested(input.GetSource())
	if controls, has := whole["controls"]; has {
		whole["controls"] = days(controls)
	}
	strange := unknown(whole)
	if err := restrict(whole, input); err != nil {
		return nil, err
	}
	var configs []*reload.ConfigWithMeta
	for i, stream := range input.GetStreams() {
		m := nested(stream.GetSource())
		if namesOnly(stream) {
			m["enabled"] = false
		}
		if _, own := m["id"]; !own {
			m["id"] = fmt.Sprintf("%s.%d", input.GetId(), i)
		}
		namespace := cmp.Or(namespaceOf(stream.GetDataStream(), m), namespaceOf(input.GetDataStream(), whole))
		if namespace != "" {
			m["namespace"] = namespace
		}
		delete(m, "data_stream")
		for _, key := range config.WholeBeat {
			merge(m, key, whole[key])
		}
		if len(strange) > 0 {
			m[config.Unknown] = strange
		}
		if processors, ok := whole["processors"].([]any); ok {
			own, _ := m["processors"].([]any)
			m["processors"] = append(append([]any{}, processors...), own...)
		}
		c, err := conf.NewConfigFrom(m)
		if err != nil {
			return nil, fmt.Errorf("reading stream %v of input %q: %w", m["id"], input.GetId(), err)
		}
		configs = append(configs, &reload.ConfigWithMeta{Config: c})
	}
	return configs, nil
}

// nested are the settings of an input or a stream, in which a dotted key is what it is in a Beat's file: a path. A
// person writes data_stream.namespace as well as data_stream: {namespace}, and the Agent hands on what it was given.
func nested(source *structpb.Struct) mapstr.M {
	m, _ := undotted(source.AsMap()).(mapstr.M)
	return m
}

// undotted makes mappings of dotted keys, in mappings and lists of any depth. Where both say something, the mapping is
// what is dotted, and the dotted key prevails.
func undotted(v any) any {
	switch v := v.(type) {
	case map[string]any:
		all := mapstr.M{}
		for _, key := range slices.SortedFunc(maps.Keys(v), func(a, b string) int {
			return cmp.Or(strings.Count(a, ".")-strings.Count(b, "."), cmp.Compare(a, b))
		}) {
			one := undotted(v[key])
			for _, name := range slices.Backward(strings.Split(key, ".")) {
				one = mapstr.M{name: one}
			}
			all.DeepUpdate(one.(mapstr.M))
		}
		return all
	case []any:
		for i := range v {
			v[i] = undotted(v[i])
		}
	}
	return v
}

// days writes as days what Fleet has made midnights of, in mappings and lists of any depth: it hands on a day that
// stands in YAML without quotes as a time. An exception that expires on a day holds until that day has ended.
func days(v any) any {
	switch v := v.(type) {
	case mapstr.M:
		for key := range v {
			v[key] = days(v[key])
		}
	case []any:
		for i := range v {
			v[i] = days(v[i])
		}
	case string:
		if t, err := time.Parse("2006-01-02T00:00:00.000Z", v); err == nil {
			return t.Format(time.DateOnly)
		}
	}
	return v
}

// namespaceOf is the namespace of a data stream: as the Agent has read it, else as the settings say.
func namespaceOf(stream *wire.DataStream, settings mapstr.M) string {
	return cmp.Or(stream.GetNamespace(), textOf(settings, "data_stream.namespace"))
}

// datasetOf is the data set of a data stream, likewise.
func datasetOf(stream *wire.DataStream, settings mapstr.M) string {
	return cmp.Or(stream.GetDataset(), textOf(settings, "data_stream.dataset"))
}

func textOf(settings mapstr.M, key string) string {
	v, _ := settings.GetValue(key) // nil where there is none
	text, _ := v.(string)
	return text
}

// namesOnly is true of a stream that is not a module: it names a data stream, and may say something of the whole Beat.
func namesOnly(stream *wire.Stream) bool {
	settings := nested(stream.GetSource())
	for key := range settings {
		if !slices.Contains(agents, key) && !slices.Contains(config.WholeBeat, key) {
			return false
		}
	}
	return datasetOf(stream.GetDataStream(), settings) != ""
}

// restrict adds to what the input says of the whole Beat what the streams say that only name a data stream. A policy
// with such streams, or one that names the data stream of alerts, names all that the Agent may write to: of the other
// kinds, no documents are made.
func restrict(whole mapstr.M, input *wire.Configuration) error {
	modules, kinds := 0, map[dataset.Kind]bool{}
	for _, stream := range input.GetStreams() {
		settings := nested(stream.GetSource())
		kinds[dataset.Of(datasetOf(stream.GetDataStream(), settings))] = true
		if !namesOnly(stream) {
			modules++
			continue
		}
		for _, key := range config.WholeBeat {
			merge(whole, key, settings[key])
		}
	}
	if modules == 0 {
		return fmt.Errorf(
			"input %q has no stream with a module; in Fleet, the data stream of alerts must be switched on",
			input.GetId())
	}
	if !kinds[dataset.Alert] {
		return nil
	}
	if !kinds[dataset.Process] {
		whole["events"] = config.EventsNone
	}
	if !kinds[dataset.Health] {
		whole["heartbeat"] = map[string]any{"period": 0}
	}
	return nil
}

// merge copies what the input says under a key into a stream; what the stream says itself stays, so that the
// disagreement can be reported.
func merge(stream mapstr.M, key string, input any) {
	own, isMap := stream[key].(mapstr.M)
	from, fromMap := input.(mapstr.M)
	switch {
	case input == nil:
	case isMap && fromMap:
		merged := from.Clone()
		merged.DeepUpdate(own)
		stream[key] = merged
	case stream[key] == nil:
		stream[key] = input
	}
}
