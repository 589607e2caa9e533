// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var tiny = map[string]string{
	"go.mod": "module example.org/tiny\n\ngo 1.26\n",
	"parse/p.go": "package parse\n\nimport \"example.org/tiny/text\"\n\nfunc Parse(b []byte) int { return " +
		"len(b) / (text.Least - len(b)) }\n",
	"text/t.go":  "package text\n\nconst Least = 1000000\n",
	"other/o.go": "package other\n",
	"parse/p_test.go": "package parse\n\nimport \"testing\"\n\nfunc FuzzParse(f *testing.F) { f.Fuzz(func(t " +
		"*testing.T, b []byte) { Parse(b) }) }\n",
}

// TestAFuzzTargetsFailingInputIsKeptWhereGoTestFindsIt fuzzes a real module: one that holds, and after a change of a
// package that it imports one that does not.
func TestAFuzzTargetsFailingInputIsKeptWhereGoTestFindsIt(t *testing.T) {
	r := newRepo(t, tiny)
	run := func() error {
		m, err := listModule(r.campaign.root, ".")
		require.NoError(t, err)
		steps := m.fuzz(time.Second)
		require.Len(t, steps, 1)
		return r.campaign.run(t.Context(), steps, nil)
	}
	const name = "fuzz parse FuzzParse"
	require.NoError(t, run())
	require.Regexp(t, `^good: \d+ inputs, of which \d+ were new and interesting; \d+ kept$`, r.outcomes()[name])
	r.write("other/o.go", "package other // changed\n")
	r.commit()
	require.NoError(t, run())
	require.Contains(t, r.out.String(), "1 of 1, "+name+": good already\n")

	r.write("text/t.go", "package text\n\nconst Least = 2\n")
	r.commit()
	require.ErrorContains(t, run(), name)
	said := r.outcomes()[name]
	input, rest, found := strings.Cut(strings.TrimPrefix(said, "failed: fails on "), ",")
	require.True(t, found, said)
	require.Equal(t, " which is to be committed with what mends it", rest)
	require.True(t, strings.HasPrefix(input, "parse/testdata/fuzz/FuzzParse/"), input)
	_, err := os.Stat(filepath.Join(r.campaign.root, input))
	require.NoError(t, err)
	require.ErrorContains(t, run(), "fails on "+input, "the input is found by the next run")
}

func TestTheCampaignOfThisRepositoryHasEveryFuzzTargetAndWhatItDependsOn(t *testing.T) {
	steps, err := list("../..", 10*time.Minute)
	require.NoError(t, err)
	named := map[string]step{}
	for _, s := range steps {
		require.NotEmpty(t, s.of, s.name)
		require.NotContains(t, named, s.name)
		named[s.name] = s
	}
	s := named["fuzz module/auditd/record FuzzText"]
	require.Equal(t,
		"go -C . test -run '^$' -fuzz '^FuzzText$' -fuzztime 10m0s -fuzzminimizetime 1x -timeout 0 "+
			"./module/auditd/record",
		s.command)
	require.Subset(t, s.of, []string{"go.mod", "go.sum", "module", "module/auditd/record", "process"})
	require.NotContains(t, s.of, "detector")
	s = named["fuzz tools/kibana/kql FuzzParse"]
	require.Equal(t,
		"go -C tools test -run '^$' -fuzz '^FuzzParse$' -fuzztime 10m0s -fuzzminimizetime 1x -timeout 0 ./kibana/kql",
		s.command)
	require.Equal(t, []string{"tools/go.mod", "tools/go.sum", "tools/kibana/kql"}, s.of)
	require.Subset(t, named["evaluate"].of,
		[]string{"internal/evaluation", "internal/evaluation/go.mod", "go.mod", "detector/habit"})
	require.Subset(t, named["reproduce arm64"].of, []string{".", "cmd", "deploy/...", "detector/rules"})
	for _, s := range steps {
		if strings.HasPrefix(s.name, "fuzz ") && !strings.HasPrefix(s.name, "fuzz tools/") {
			require.Subset(t, named["bench"].of, s.of, "the benchmarks depend on all of the Beat")
		}
	}
}

func TestFiguresAreWhatTheToolsPrint(t *testing.T) {
	require.Equal(t, "114784 inputs, of which 1 were new and interesting; 7 kept", fuzzed(
		"fuzz: elapsed: 0s, execs: 0 (0/sec), new interesting: 0 (total: 6)\nfuzz: elapsed: 3s, execs: 114784 "+
			"(38257/sec), new interesting: 1 (total: 7)\nPASS\n",
	))
	require.Empty(t, fuzzed("testing: warning: no fuzz tests to fuzz\nPASS\n"))

	digest := strings.Repeat("0123456789abcdef", 8)
	require.Equal(t, "2 files twice the same; sha512 of reconbeat-0.1.0-arm64.deb: 0123456789abcdef…",
		twice("go build\ntwice the same:\n"+digest+"  reconbeat-0.1.0-arm64.deb\n"+digest+"  reconbeat-0.1.0.zip\n"))
	require.Empty(t, twice("twice the same:\n"))

	require.Equal(t, "2 benchmarks; Way/NoRule: 352.9 ns/op 0 B/op 0 allocs/op", benchmarks(
		"=== RUN   BenchmarkWay\nBenchmarkWay\nBenchmarkWay/NoRule\nBenchmarkWay/NoRule-2         \t 3380212\t       "+
			"352.9 ns/op\t       0 B/op\t       0 allocs/op\nBenchmarkRing-2   \t 100\t 1 ns/op\nok\n",
	))
	require.Empty(t, benchmarks("PASS\n"))
	require.Equal(t, "reads b", line(`(?m)^a (.)$`, "reads %s")("c c\na b\n"))
	require.Equal(t, "", line(`(?m)^a (.)$`, "reads %s")("c c\n"))
	require.Equal(t, "fails on ecs/testdata/fuzz/FuzzDecode/1f",
		input("ecs", "--- FAIL: FuzzDecode (0.05s)\n    failure while testing seed corpus entry: FuzzDecode/1f\n"))
	require.Equal(t, raced, input("ecs", "--- FAIL: FuzzDecode (20.32s)\n    context deadline exceeded\nFAIL\n"))
	require.Empty(t, input("ecs", "signal: killed"))
}
