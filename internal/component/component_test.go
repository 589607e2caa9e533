// SPDX-License-Identifier: Apache-2.0

package component

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// agents makes homes of Agents with a folder of components for each version.
func agents(t *testing.T, versions ...string) (home string) {
	home = t.TempDir()
	for _, v := range versions {
		require.NoError(t, os.MkdirAll(filepath.Join(home, "data", "elastic-agent-"+v, "components"), 0o750))
	}
	return home
}

// TestAVersionThatIsBeingUnpackedIsSeen has the folder of a version come before its components.
func TestAVersionThatIsBeingUnpackedIsSeen(t *testing.T) {
	home := agents(t, "8.19.4-abc")
	homes := []string{filepath.Join(home, "nowhere"), home}
	folders, err := Unpacking(homes)
	require.NoError(t, err)
	require.Empty(t, folders)
	folder := filepath.Join(home, "data", "elastic-agent-9.1.0-def")
	require.NoError(t, os.Mkdir(folder, 0o750))
	require.NoError(t, os.WriteFile(filepath.Join(home, "data", "elastic-agent-file"), nil, 0o600))
	folders, err = Unpacking(homes)
	require.NoError(t, err)
	require.Equal(t, []string{folder}, folders)
	require.NoError(t, os.Mkdir(filepath.Join(folder, "components"), 0o750))
	folders, err = Unpacking(homes)
	require.NoError(t, err)
	require.Empty(t, folders)
}

func binary(t *testing.T, content string) string {
	file := filepath.Join(t.TempDir(), "reconbeat")
	require.NoError(t, os.WriteFile(file, []byte(content), 0o755))
	return file
}

func names(t *testing.T, p Place) (list []string) {
	entries, err := os.ReadDir(p.Folder)
	require.NoError(t, err)
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestAComponentComesChangesAndGoes(t *testing.T) {
	home := agents(t, "8.19.4-abc", "9.1.0-def")
	places, err := Find([]string{filepath.Join(home, "nowhere"), home})
	require.NoError(t, err)
	require.Len(t, places, 2)
	require.Equal(t, "elastic-agent-8.19.4-abc", places[0].Version)
	require.Equal(t, home, places[0].Home)
	first, second := binary(t, "first"), binary(t, "second")
	state := func(p Place, of string) State {
		s, err := p.State(of)
		require.NoError(t, err)
		return s
	}
	for _, p := range places {
		require.Equal(t, Absent, state(p, first))
		require.NoError(t, p.Install(first))
		require.Equal(t, Current, state(p, first))
		require.Equal(t, Other, state(p, second))
		require.Equal(t, []string{"reconbeat", "reconbeat.spec.yml"}, names(t, p), "nothing else is left")

		about, err := os.Stat(filepath.Join(p.Folder, "reconbeat"))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o755), about.Mode(), "an Agent runs nothing that others may write")

		require.NoError(t, p.Install(second))
		require.Equal(t, Current, state(p, second))
		require.NoError(t, os.Remove(filepath.Join(p.Folder, "reconbeat")))
		require.Equal(t, Broken, state(p, second))
		require.NoError(t, p.Install(second))
		require.Equal(t, Current, state(p, second))

		for _, there := range []bool{true, false} {
			removed, err := p.Remove()
			require.NoError(t, err)
			require.Equal(t, there, removed)
			require.Empty(t, names(t, p))
		}
	}
}

// TestAComponentIsTheAgents has the files belong to whom the Agent's folder does.
func TestAComponentIsTheAgents(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: GIVING FILES AWAY NEEDS ROOT")
	}
	places, err := Find([]string{agents(t, "9.1.0-def")})
	require.NoError(t, err)
	require.NoError(t, os.Chown(places[0].Folder, 4711, 4712))
	require.NoError(t, places[0].Install(binary(t, "b")))
	for _, name := range names(t, places[0]) {
		uid, gid := owner(t, filepath.Join(places[0].Folder, name))
		require.Equal(t, []uint32{4711, 4712}, []uint32{uid, gid}, name)
	}
}

// TestABinaryThatCannotBeReadChangesNothing holds that no specification stands alone: an Agent does not start with one.
func TestABinaryThatCannotBeReadChangesNothing(t *testing.T) {
	places, err := Find([]string{agents(t, "[odd] 9.1.0-*")})
	require.NoError(t, err)
	require.Len(t, places, 1)
	require.ErrorContains(t, places[0].Install(filepath.Join(t.TempDir(), "none")), "reading reconbeat: ")
	require.ErrorContains(t, places[0].Install(t.TempDir()), "is a directory")
	require.Empty(t, names(t, places[0]))
}

func TestTheSpecificationIsOfThisBinary(t *testing.T) {
	var s struct {
		Version int
		Inputs  []struct {
			Name    string
			Command struct{ Args []string }
		}
	}
	require.NoError(t, yaml.Unmarshal(Specification, &s))
	require.Equal(t, 2, s.Version)
	require.Equal(t, binaryName, s.Inputs[0].Name)
	require.Contains(t, s.Inputs[0].Command.Args, "management.enabled=true")
}

func owner(t *testing.T, file string) (uid, gid uint32) {
	about, err := os.Stat(file)
	require.NoError(t, err)
	of, ok := about.Sys().(*syscall.Stat_t)
	require.True(t, ok)
	return of.Uid, of.Gid
}
