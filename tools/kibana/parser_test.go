// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/tools/kibana/query"
)

// TestElasticsearchsGrammarReadsEveryQuery has a parser of Elasticsearch's own grammar read what rules and panels say
// in ES|QL, and refuse what is none.
func TestElasticsearchsGrammarReadsEveryQuery(t *testing.T) {
	python := parser(t)
	t.Chdir("..")
	questions, err := query.All(os.DirFS(folder))
	require.NoError(t, err)
	var names, texts []string
	for _, q := range questions {
		if q.ESQL != "" {
			names, texts = append(names, q.Name), append(texts, q.ESQL)
		}
	}
	require.Contains(t, names, silent.RuleID)
	require.Contains(t, names, healthID+"/silent")
	wrong := []string{"FROM a | STATS b = MAX(c BY d", "FROM a | ORDER BY b", "FROM a | WHERE b = 1"}
	asked, err := json.Marshal(append(texts, wrong...))
	require.NoError(t, err)
	c := exec.Command(python, filepath.Join("kibana", "esql", "testdata", "parse.py"))
	c.Stdin = bytes.NewReader(asked)
	var complaint bytes.Buffer
	c.Stderr = &complaint
	out, err := c.Output()
	require.NoError(t, err, complaint.String())
	var faults [][]string
	require.NoError(t, json.Unmarshal(out, &faults))
	require.Len(t, faults, len(names)+len(wrong))
	for i, name := range names {
		require.Empty(t, faults[i], "%s:\n%s", name, texts[i])
	}
	for i, text := range wrong {
		require.NotEmpty(t, faults[len(names)+i], text)
	}
}

// parser is a Python that has the parser, in an environment of its own that is made once for each version of its
// requirements.
func parser(t *testing.T) string {
	requirements, err := filepath.Abs(filepath.Join("esql", "testdata", "requirements.txt"))
	require.NoError(t, err)
	text, err := os.ReadFile(requirements)
	require.NoError(t, err)
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	dir := filepath.Join(cache, "reconbeat", fmt.Sprintf("esql-parser-%x", sha256.Sum256(text))[:24])
	python := filepath.Join(dir, "bin", "python")
	if exec.Command(python, "-c", "import esql_parser").Run() == nil {
		return python
	}
	if exec.Command("python3", "-c", "import venv, ensurepip").Run() != nil {
		t.Skip("SKIPPED: NO PYTHON WITH venv ON THIS MACHINE (Debian: python3-venv): " +
			"nothing reads the queries in ES|QL by Elasticsearch's grammar")
	}
	require.NoError(t, os.MkdirAll(filepath.Dir(dir), 0o755))
	for _, words := range [][]string{
		{"python3", "-m", "venv", "--clear", dir},
		{filepath.Join(dir, "bin", "pip"), "install", "--quiet", "--requirement", requirements},
	} {
		out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
		require.NoError(t, err, "%s: %s", words, out)
	}
	return python
}
