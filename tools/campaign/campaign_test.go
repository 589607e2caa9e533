// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A repo is a real repository, in which a campaign runs real commands; each leaves a line in a file outside it, ran.
type repo struct {
	t        *testing.T
	campaign campaign
	ran      string
	out      bytes.Buffer
}

func newRepo(t *testing.T, files map[string]string) *repo {
	r := &repo{t: t, ran: filepath.Join(t.TempDir(), "ran")}
	r.campaign = campaign{root: t.TempDir(), page: "build/campaign.md", out: &r.out}
	r.git("init", "-q")
	r.write(".gitignore", "/build/\n")
	for name, text := range files {
		r.write(name, text)
	}
	r.commit()
	return r
}

func (r *repo) git(args ...string) {
	r.t.Helper()
	c := exec.Command(
		"git",
		append(
			[]string{"-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"},
			args...)...)
	c.Dir = r.campaign.root
	out, err := c.CombinedOutput()
	require.NoError(r.t, err, string(out))
}

func (r *repo) commit() {
	r.t.Helper()
	r.git("add", "--all")
	r.git("commit", "-q", "--allow-empty", "-m", "test")
}

func (r *repo) write(name, text string) {
	r.t.Helper()
	name = filepath.Join(r.campaign.root, name)
	require.NoError(r.t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(r.t, os.WriteFile(name, []byte(text), 0o644))
}

// step does something, after it has said that it ran; what it prints is its figure.
func (r *repo) step(name, command string, of ...string) step {
	return step{name: name, of: of, command: "echo " + name + " >>" + r.ran + "; " + command, figure: strings.TrimSpace}
}

// whatRan are the steps that ran since it was asked last.
func (r *repo) whatRan() []string {
	r.t.Helper()
	text, err := os.ReadFile(r.ran)
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(r.t, err)
	require.NoError(r.t, os.Remove(r.ran))
	return strings.Fields(string(text))
}

// outcomes are what the page says, by step.
func (r *repo) outcomes() map[string]string {
	r.t.Helper()
	results, err := load(filepath.Join(r.campaign.root, r.campaign.page))
	require.NoError(r.t, err)
	said := map[string]string{}
	for _, res := range results {
		said[res.step] = string(res.outcome) + ": " + res.figure
	}
	return said
}

func TestWhatIsGoodIsNotRunAgainUntilItsCodeChanges(t *testing.T) {
	r := newRepo(t, map[string]string{"a/a.go": "a", "b/b.go": "b", "README.md": "read"})
	steps := []step{r.step("one", "echo fine", "a"), r.step("two", "echo well", "b")}
	run := func() []string {
		require.NoError(t, r.campaign.run(t.Context(), steps, nil))
		return r.whatRan()
	}
	require.Equal(t, []string{"one", "two"}, run())
	require.Equal(t, map[string]string{"one": "good: fine", "two": "good: well"}, r.outcomes())
	require.Empty(t, run())

	r.commit()
	require.Empty(t, run(), "a commit that changes nothing")
	r.write("README.md", "read me")
	r.commit()
	require.Empty(t, run(), "what no step depends on is changed")
	r.write("b/b.go", "better")
	require.Equal(t, []string{"two"}, run())
	require.Empty(t, run(), "what is not committed is what ran")
	r.commit()
	require.Equal(t, []string{"two"}, run(), "what ran is committed")
	r.write("a/new.go", "new")
	r.commit()
	require.Equal(t, []string{"one"}, run(), "a file is added")

	require.NoError(t, os.Remove(filepath.Join(r.campaign.root, r.campaign.page)))
	require.Equal(t, []string{"one", "two"}, run(), "the page is removed")
}

func TestAStepThatFailsDoesNotStopTheOthersAndRunsAgain(t *testing.T) {
	r := newRepo(t, map[string]string{"a/a.go": "a"})
	steps := []step{
		r.step("breaks", "echo it is broken; exit 3", "a"),
		r.step("works", "echo fine", "a"),
		r.step("idles", "true", "a"),
	}
	err := r.campaign.run(t.Context(), steps, nil)
	require.ErrorContains(t, err, "breaks: exit status 3\n  idles: it did nothing")
	require.NotContains(t, err.Error(), "works")
	require.Equal(t, []string{"breaks", "works", "idles"}, r.whatRan())
	require.Equal(t,
		map[string]string{"breaks": "failed: exit status 3", "works": "good: fine", "idles": "failed: it did nothing"},
		r.outcomes())
	require.Contains(t, r.out.String(), "it is broken")

	steps[0] = r.step("breaks", "echo mended", "a")
	require.ErrorContains(t, r.campaign.run(t.Context(), steps, nil), "idles")
	require.Equal(t, []string{"breaks", "idles"}, r.whatRan())
	require.Equal(t, "good: mended", r.outcomes()["breaks"])
}

func TestAFuzzTargetThatFailsAsGoTestItselfDoesRunsOnceMore(t *testing.T) {
	r := newRepo(t, map[string]string{"a/a.go": "a"})
	s := r.step("fuzz",
		"if mkdir "+filepath.Join(t.TempDir(), "once")+"; then echo context deadline exceeded; exit 1; fi; echo fine",
		"a")
	s.figure = func(string) string { return "fine" }
	s.reason = func(log string) string { return input("a", log) }
	require.NoError(t, r.campaign.run(t.Context(), []step{s}, nil))
	require.Equal(t, []string{"fuzz", "fuzz"}, r.whatRan())
	require.Equal(t, "good: fine", r.outcomes()["fuzz"])

	s.command += "; echo context deadline exceeded; exit 1"
	s.length = time.Minute
	require.ErrorContains(t, r.campaign.run(t.Context(), []step{s}, nil), raced)
	require.Equal(t, []string{"fuzz", "fuzz"}, r.whatRan(), "once, and no more")
}

func TestAStepDependsOnWhatItSaysAndNoMore(t *testing.T) {
	for _, c := range []struct {
		of, name string
		covered  bool
	}{
		{"module", "module/module.go", true},
		{"module", "module/testdata/fuzz/FuzzA/1f", true},
		{"module", "module/auditd/auditd.go", false},
		{"module", "modules.d/auditd.yml", false},
		{"deploy/...", "deploy/systemd/reconbeat.service", true},
		{"deploy/...", "deployment", false},
		{"go.mod", "go.mod", true},
		{"go.mod", "tools/go.mod", false},
		{".", "main.go", true},
		{".", "README.md", false},
		{".", "cmd/root.go", false},
	} {
		require.Equal(t, c.covered, covers(c.of, c.name), "%s, %s", c.of, c.name)
	}
}

func TestAStepThatThisHostCannotDoIsLeftOutAndTriedAgain(t *testing.T) {
	r := newRepo(t, map[string]string{"a/a.go": "a"})
	steps := []step{r.step("emulates", "echo '    deploy_test.go:1: SKIPPED: THIS TEST NEEDS qemu'", "a")}
	for range 2 {
		require.NoError(t, r.campaign.run(t.Context(), steps, nil))
		require.Equal(t, []string{"emulates"}, r.whatRan())
		require.Equal(t, map[string]string{"emulates": "left out: THIS TEST NEEDS qemu"}, r.outcomes())
	}
	require.Contains(t, r.out.String(), "LEFT OUT, because this host cannot do it:\n  emulates: THIS TEST NEEDS qemu\n")
}

func TestACampaignThatIsKilledGoesOnWhereItWas(t *testing.T) {
	r := newRepo(t, map[string]string{"a/a.go": "a"})
	child := filepath.Join(t.TempDir(), "child")
	steps := []step{
		r.step("one", "echo fine", "a"),
		r.step("two", "sleep 1000 & echo $! >"+child+"; wait", "a"),
		r.step("three", "echo fine", "a"),
	}
	ctx, kill := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.campaign.run(ctx, steps, nil) }()
	var pid string
	require.Eventually(t, func() bool {
		text, _ := os.ReadFile(child)
		pid = strings.TrimSpace(string(text))
		return pid != ""
	}, time.Minute, 10*time.Millisecond)
	kill()
	require.ErrorContains(t, <-ended, "two was interrupted")
	require.Equal(t, []string{"one", "two"}, r.whatRan())
	require.Equal(t, map[string]string{"one": "good: fine"}, r.outcomes(), "what was interrupted did not fail")
	require.Eventually(t, func() bool {
		state, err := os.ReadFile("/proc/" + pid + "/stat")
		return err != nil || strings.Contains(string(state), ") Z ")
	}, time.Minute, 10*time.Millisecond, "what the step started is ended with it")

	steps[1] = r.step("two", "echo done", "a")
	require.NoError(t, r.campaign.run(t.Context(), steps, nil))
	require.Equal(t, []string{"two", "three"}, r.whatRan())
}

func TestWhatRanWhileItsCodeChangedIsNoResult(t *testing.T) {
	r := newRepo(t, map[string]string{"a/a.go": "a"})
	steps := []step{r.step("one", "echo changed >a/a.go; echo fine", "a"), r.step("two", "echo fine", "a")}
	require.ErrorContains(t, r.campaign.run(t.Context(), steps, nil), "one: the code changed while it ran")
	require.Equal(t, map[string]string{"two": "good: fine"}, r.outcomes())
}

func TestAShorterTimeIsNotEnoughAndALongerOneIs(t *testing.T) {
	r := newRepo(t, map[string]string{"a/a.go": "a"})
	run := func(length time.Duration) []string {
		s := r.step("fuzz", "echo fine", "a")
		s.length = length
		require.NoError(t, r.campaign.run(t.Context(), []step{s}, nil))
		return r.whatRan()
	}
	require.Equal(t, []string{"fuzz"}, run(30*time.Second))
	require.Empty(t, run(20*time.Second))
	require.Equal(t, []string{"fuzz"}, run(10*time.Minute))
	require.Empty(t, run(30*time.Second))
}

func TestStepsAreChosenByPartsOfTheirNamesAndTheOthersResultsStay(t *testing.T) {
	r := newRepo(t, map[string]string{"a/a.go": "a"})
	steps := []step{
		r.step("bench", "echo fine", "a"),
		r.step("fuzz-a", "echo fine", "a"),
		r.step("fuzz-b", "echo fine", "a"),
		r.step("gone", "echo fine", "a"),
	}
	require.NoError(t, r.campaign.run(t.Context(), steps, []string{"gone", "bench"}))
	require.Equal(t, []string{"bench", "gone"}, r.whatRan())
	steps = steps[:3]
	require.NoError(t, r.campaign.run(t.Context(), steps, []string{"uzz-"}))
	require.Equal(t, []string{"fuzz-a", "fuzz-b"}, r.whatRan())
	require.Equal(t, map[string]string{"bench": "good: fine", "fuzz-a": "good: fine", "fuzz-b": "good: fine"},
		r.outcomes(), "a step that is no more has no line")
	require.ErrorContains(t, r.campaign.run(t.Context(), steps, []string{"nothing"}), "nothing")
}

func TestASecondCampaignIsKeptAway(t *testing.T) {
	file := filepath.Join(t.TempDir(), "campaign", "lock")
	unlock, err := lock(file)
	require.NoError(t, err)
	_, err = lock(file)
	require.ErrorContains(t, err, "another campaign runs in this folder")
	unlock()
	unlock, err = lock(file)
	require.NoError(t, err)
	unlock()
}

func TestThePageIsReadAsItWasWritten(t *testing.T) {
	results := []result{
		{
			step:    "fuzz a FuzzA",
			outcome: good,
			figure:  "12 inputs",
			length:  10 * time.Minute,
			took:    603 * time.Second,
			ended:   time.Date(2026, 3, 11, 17, 0, 0, 0, time.UTC),
			commit:  "c6c2905",
			code:    "0123456789ab",
		},
		{
			step:    "bench",
			outcome: failed,
			figure:  "exit status 1",
			took:    time.Second,
			ended:   time.Date(2026, 3, 11, 17, 1, 0, 0, time.UTC),
			commit:  "c6c2905",
			code:    "0123456789ab+",
		},
	}
	got, err := parse(render(results))
	require.NoError(t, err)
	require.Equal(t, results, got)
	got, err = parse(render(nil))
	require.NoError(t, err)
	require.Empty(t, got)
	results[0].figure = "a|b\nc"
	got, err = parse(render(results))
	require.NoError(t, err)
	require.Equal(t, "a/b c", got[0].figure, "what would break the table")

	for _, broken := range []string{"", "# Campaign\n", preface + columns + "|---|\n| bench | good |\n",
		strings.Replace(render(results), "10m0s", "a while", 1)} {
		_, err := parse(broken)
		require.Error(t, err, broken)
	}
}
