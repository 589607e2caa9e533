// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// joined returns the whole lines that a Joiner makes of lines, and what is left at their end.
func joined(lines ...string) (whole []string) {
	var j Joiner
	for _, line := range lines {
		if w, ok := j.Line([]byte(line)); ok {
			whole = append(whole, string(w))
		}
	}
	for rest := j.Rest(); rest != nil; rest = j.Rest() {
		whole = append(whole, string(rest))
	}
	return whole
}

// docker is a line of Docker's json-file.
func docker(t *testing.T, log, stream string) string {
	line, err := json.Marshal(dockerLine{Log: log, Stream: stream, Time: "2026-03-03T01:06:40.1Z"})
	require.NoError(t, err)
	return string(line)
}

func TestPartsOfALineOfDockerAreOne(t *testing.T) {
	long := strings.Repeat("x", dockerPart)
	document := `{"@timestamp":"2026-03-03T01:06:40Z","message":"` + long + `"}`
	whole := docker(t, document+"\n", "stdout")
	for name, lines := range map[string][]string{
		"with the line's end": {
			docker(t, document[:dockerPart], "stdout"), docker(t, document[dockerPart:]+"\n", "stdout"),
		},
		"another stream between": {
			docker(t, document[:dockerPart], "stdout"), docker(t, "y\n", "stderr"),
			docker(t, document[dockerPart:]+"\n", "stdout"),
		},
		"small parts": {
			docker(t, document[:9], "stdout"), docker(t, document[9:50], "stdout"), docker(t, document[50:]+"\n", "stdout"),
		},
	} {
		require.Contains(t, joined(lines...), whole, name)
		require.Len(t, joined(lines...), strings.Count(strings.Join(lines, ""), `\n",`), name)
	}
	cut := strings.Replace(whole, `\n",`, `",`, 1) // whoever has read the lines has cut off their ends
	require.Equal(t, []string{cut, docker(t, "{}", "stdout")}, joined(docker(t, document[:dockerPart], "stdout"),
		docker(t, document[dockerPart:], "stdout"), docker(t, "{}", "stdout")))
	require.Equal(t, []string{docker(t, long+"end\n", "stdout")},
		joined(docker(t, long, "stdout"), docker(t, "end\n", "stdout")), "it is no document")
}

func TestPartsOfALineOfKubernetesAreOne(t *testing.T) {
	const at = "2026-03-03T01:06:40.123456789Z "
	require.Equal(t, []string{at + "stderr F y", at + "stdout F abc", at + "stdout F d"},
		joined(at+"stdout P a", at+"stdout P b", at+"stderr F y", at+"stdout F c", at+"stdout F d"))
}

func TestWhatIsNoPartStaysAsItIs(t *testing.T) {
	lines := []string{
		"", "{", `{"log":`, `{"log":{"file":{"path":"/x"}},"message":"m"}`, `{"log":"type=CWD msg=audit(1.1:1): cwd=\"/\""}`,
		`{"log":"type=CWD","stream":"stdout","time":"x"}`, "type=CWD msg=audit(1.1:1): cwd=\"/\"",
		"2026-03-03T01:06:40Z stdout F type=CWD", "2026-03-03T01:06:40Z web1 P stdout", `{"log":1,"stream":"stdout"}`,
	}
	require.Equal(t, lines, joined(lines...))
}

// A line of which the end never comes is given at the end, and one that grows too long before it.
func TestALineWithoutItsEndIsGiven(t *testing.T) {
	const at = "2026-03-03T01:06:40.1Z "
	require.Equal(t, []string{at + "stdout F a", at + "stderr F b"}, joined(at+"stdout P a", at+"stderr P b"))
	many := strings.Repeat("x", MaxLine/2)
	require.Equal(t, []string{at + "stdout F " + many + many, at + "stdout F z"},
		joined(at+"stdout P "+many, at+"stdout P "+many, at+"stdout F z"))
}

// Whoever writes the file chooses the names of streams: of others than a program has, nothing is kept.
func TestStreamsOfOtherNamesAreNotHeld(t *testing.T) {
	var j Joiner
	for i := range 100 {
		part := docker(t, strings.Repeat("x", dockerPart), fmt.Sprint("stream-", i))
		whole, ok := j.Line([]byte(part))
		require.True(t, ok)
		require.Equal(t, part, string(whole))
	}
	require.Nil(t, j.Rest())
}

func TestAJoinerAllocatesNothingForWholeLines(t *testing.T) {
	var j Joiner
	lines := [][]byte{
		[]byte("type=CWD msg=audit(1.1:1): cwd=\"/\""), []byte(`{"@timestamp":"x"}`), []byte(docker(t, "{}\n", "stdout")),
		[]byte("2026-03-03T01:06:40.1Z stdout F type=CWD"),
	}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for _, line := range lines {
			if _, ok := j.Line(line); !ok {
				t.Fatal("a whole line is held")
			}
		}
	}))
}

// FuzzJoiner writes a text as a container's runtime does, in parts of any size beside another stream's line, and wants
// it back; what is no part comes out as it went in.
func FuzzJoiner(f *testing.F) {
	f.Add(`{"@timestamp":"2026-03-03T01:06:40Z","process":{"name":"ss"}}`, "type=CWD", uint8(7))
	f.Add("type=EXECVE msg=audit(1.1:1): argc=1 a0=\"ss\"", `{"log":"x","stream":"stdout","time":"y"}`, uint8(1))
	f.Add("", "2026-03-03T01:06:40.1Z stdout P x", uint8(0))
	f.Fuzz(func(t *testing.T, text, other string, size uint8) {
		var j Joiner
		whole, ok := j.Line([]byte(other))
		if ok {
			require.Equal(t, other, string(whole))
		}
		for rest := j.Rest(); rest != nil; rest = j.Rest() {
			require.False(t, ok)
		}
		const at = "2026-03-03T01:06:40.1Z "
		n := int(size) + 1
		for from := 0; from+n < len(text); from += n {
			_, ok := j.Line([]byte(at + "stdout P " + text[from:from+n]))
			require.False(t, ok)
		}
		_, ok = j.Line([]byte(at + "stderr F " + other))
		require.True(t, ok)
		whole, ok = j.Line([]byte(at + "stdout F " + text[max(0, len(text)-1)/n*n:]))
		require.True(t, ok)
		require.Equal(t, at+"stdout F "+text, string(whole))
		require.Nil(t, j.Rest())
	})
}
