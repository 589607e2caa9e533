// SPDX-License-Identifier: Apache-2.0

package dpkg

import (
	"crypto/md5"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestThisHostsFiles asks about real files, and compares with what dpkg-query says of them.
func TestThisHostsFiles(t *testing.T) {
	query, err := exec.LookPath("dpkg-query")
	if err != nil {
		t.Skip("this host has no dpkg")
	}
	d := New("/")
	for _, path := range []string{"/usr/bin/dash", "/usr/bin/ls", "/usr/bin/env"} {
		own, err := d.Owner(path)
		require.NoError(t, err)
		require.NotEmpty(t, own.Package, path)
		version, err := exec.Command(query, "-W", "-f", "${Version}", own.Package).Output()
		require.NoError(t, err)
		require.Equal(t, string(version), own.Version, path)
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		sum := md5.Sum(data)
		require.Equal(t, hex.EncodeToString(sum[:]), own.MD5, path)
	}
	own, err := d.Owner(filepath.Join(t.TempDir(), "ls"))
	require.NoError(t, err)
	require.Zero(t, own)
}

// fakeSum is a checksum that no file has.
const fakeSum = "0123456789abcdef0123456789abcdef"

// system makes a root folder with a database. merged: /bin is a link.
func system(t *testing.T, merged bool, files map[string]string) Database {
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, "var/lib/dpkg", name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	if merged {
		require.NoError(t, os.Symlink("usr/bin", filepath.Join(root, "bin")))
	}
	return New(root)
}

func TestOwner(t *testing.T) {
	files := map[string]string{
		"status": "Package: ss\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2.0-1\n\n" +
			"Package: wrap\nVersion: 3\nDescription: a\n Version: 4\n\n" +
			"Package: lib\nArchitecture: i386\nVersion: 7\n\nPackage: lib\nArchitecture: amd64\nVersion: 8\n",
		"info/ss.list":           "/.\n/bin\n/bin/ss\n/bin/sss\n/usr/bin/nstat\n/etc/ss.conf\n",
		"info/ss.md5sums":        fakeSum + "  bin/ss\n" + strings.Repeat("a", 32) + "  usr/bin/nstat\nshort  bin/sss\n",
		"info/wrap.list":         "/.\n/usr/bin/nstat\n/usr/bin/nstat.wrap\n",
		"info/lib:amd64.list":    "/usr/bin/tool\n",
		"info/lib:amd64.md5sums": fakeSum + "  usr/bin/tool\n",
		"diversions": "/usr/bin/nstat\n/usr/bin/nstat.real\nwrap\n/usr/bin/local\n/usr/bin/local.real\n:\n" +
			"/usr/bin/cut\n",
		"info/local.list": "/usr/bin/local\n",
	}
	ss := Owner{Package: "ss", Version: "1:2.0-1", MD5: fakeSum}
	diverted := Owner{Package: "ss", Version: "1:2.0-1", MD5: strings.Repeat("a", 32)}
	for name, c := range map[string]struct {
		path     string
		unmerged bool
		want     Owner
	}{
		"as listed":                    {path: "/bin/ss", want: ss},
		"where /bin is a link":         {path: "/usr/bin/ss", want: ss},
		"where it is none":             {path: "/usr/bin/ss", unmerged: true},
		"the beginning of a name":      {path: "/bin/s"},
		"the end of a name":            {path: "/ss"},
		"no checksum":                  {path: "/etc/ss.conf", want: Owner{Package: "ss", Version: "1:2.0-1"}},
		"a broken checksum":            {path: "/bin/sss", want: Owner{Package: "ss", Version: "1:2.0-1"}},
		"in a diverted file's place":   {path: "/usr/bin/nstat", want: Owner{Package: "wrap", Version: "3"}},
		"where it was diverted to":     {path: "/usr/bin/nstat.real", want: diverted},
		"in place of a local one":      {path: "/usr/bin/local"},
		"a local diversion's original": {path: "/usr/bin/local.real", want: Owner{Package: "local"}},
		"one architecture of two": {
			path: "/usr/bin/tool", want: Owner{Package: "lib", Version: "8", MD5: fakeSum},
		},
		"nobody's": {path: "/opt/x"},
	} {
		t.Run(name, func(t *testing.T) {
			own, err := system(t, !c.unmerged, files).Owner(c.path)
			require.NoError(t, err)
			require.Equal(t, c.want, own)
		})
	}
}

func TestAHostWithoutDpkg(t *testing.T) {
	d := New(t.TempDir())
	_, err := d.Owner("/usr/bin/ss")
	require.ErrorIs(t, err, ErrNone)
	require.Zero(t, d.Mark())
}

func TestAnInstallationMovesTheMark(t *testing.T) {
	d := system(t, true, map[string]string{"status": "", "info/a.list": "/x\n"})
	before := d.Mark()
	require.NotZero(t, before)
	require.NoError(t, os.Chtimes(d.path("status"), time.Unix(1, 0), time.Unix(1, 0)))
	require.NotEqual(t, before, d.Mark())
}

func BenchmarkOwner(b *testing.B) {
	d := New("/")
	if _, err := os.Stat(d.path("info")); err != nil {
		b.Skip("this host has no dpkg")
	}
	for b.Loop() {
		if _, err := d.Owner("/nobody's"); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzDatabase(f *testing.F) {
	f.Add([]byte("/bin/ss\n"), []byte(fakeSum+"  bin/ss\n"), []byte("Package: ss\nVersion: 1\n\n"), []byte("/a\n/b\n:\n"))
	f.Add([]byte(""), []byte("  \n"), []byte("\n\n: \n Version: 2\n"), []byte("\n\n\n\n"))
	f.Fuzz(func(t *testing.T, list, sums, status, diverted []byte) {
		if hasLine(list, "/bin/ss") != strings.Contains("\n"+string(list)+"\n", "\n/bin/ss\n") {
			t.Fatalf("%q", list)
		}
		if sum := sumOf(sums, "/bin/ss"); sum != "" && len(sum) != 32 {
			t.Fatal(sum)
		}
		if v := versionOf(status, "ss", ""); strings.Contains(v, "\n") {
			t.Fatalf("%q", v)
		}
		if n := len(diversions(diverted)); 3*n > strings.Count(string(diverted), "\n")+1 {
			t.Fatal(n)
		}
	})
}
