// SPDX-License-Identifier: Apache-2.0

package document

import (
	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/internal/host/provenance"
	"github.com/reconbeat/reconbeat/process"
)

// The fields of where the tool's executable, and its parent's, come from.
const (
	toolField   = "reconbeat.executable"
	parentField = toolField + ".parent"
)

// provenanceFields are the fields of where executables come from, by their types in Elasticsearch. The checksums are
// ECS's own.
var provenanceFields = map[string]string{
	"process.hash.sha256": "keyword", "process.parent.hash.sha256": "keyword",
	toolField + ".state": "keyword", toolField + ".unread": "keyword", toolField + ".script": "keyword",
	toolField + ".package.name": "keyword", toolField + ".package.version": "keyword",
	parentField + ".state": "keyword", parentField + ".unread": "keyword", parentField + ".script": "keyword",
	parentField + ".package.name": "keyword", parentField + ".package.version": "keyword",
}

// ours reports whether an exec is of the host that may be asked: documents of another host are not.
func (m *Maker) ours(e *process.Event, from *Source) bool {
	return from.Local && m.Machine != nil && e.Host == (process.Host{})
}

// addProvenance says in an alert where the executables of its tool and of the parent come from.
func (m *Maker) addProvenance(fields mapstr.M, e *process.Event, from *Source) {
	addScript(fields, toolField, &e.Process)
	addScript(fields, parentField, &e.Parent)
	if !m.ours(e, from) {
		return
	}
	tool, parent := m.Machine.Provenance(e)
	addExecutable(fields, "process", toolField, tool)
	addExecutable(fields, "process.parent", parentField, parent)
}

func addScript(fields mapstr.M, prefix string, p *process.Process) {
	if script := p.Script(); script != "" {
		put(fields, prefix+".script", valid(script))
	}
}

func addExecutable(fields mapstr.M, owner, prefix string, x provenance.Executable) {
	for name, v := range map[string]string{
		owner + ".hash.sha256": x.SHA256, prefix + ".state": x.State, prefix + ".unread": x.Unread,
		prefix + ".package.name": x.Package, prefix + ".package.version": x.Version,
	} {
		if v != "" {
			put(fields, name, valid(v))
		}
	}
	if x.SHA256 != "" {
		addRelated(fields, "hash", x.SHA256)
	}
}

// provenanceValue is a field of where executables come from; nil: there is none. It may wait as long as an alert does.
func (m *Maker) provenanceValue(e *process.Event, from *Source, field string) any {
	fields := mapstr.M{}
	m.addProvenance(fields, e, from)
	if v, err := fields.GetValue(field); err == nil {
		return v
	}
	return nil
}
