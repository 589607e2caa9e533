// SPDX-License-Identifier: Apache-2.0

package document

import (
	"maps"

	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/ecs"
)

// Fields are those that documents fill from a table in the code, with their types in Elasticsearch.
func Fields() map[string]string {
	fields := maps.Clone(tamperingFields)
	maps.Copy(fields, ancestryFields)
	maps.Copy(fields, noteFields)
	maps.Copy(fields, activityFields)
	for f := range ecs.Fields() {
		fields[f.Name] = f.Type.String()
	}
	for _, f := range detector.Fields {
		fields[f.Name] = f.Type
	}
	return fields
}
