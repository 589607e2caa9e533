// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// manyFiles is how many files a package has so that indexes have pages of pages.
const manyFiles = 300

// specs are the packages of the test's databases.
var specs = map[string]string{
	"looks": `Name: looks
Epoch: 2
Version: 1.4
Release: 3
Summary: looks
License: Apache-2.0
BuildArch: noarch
%description
looks
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/etc
printf tool >%{buildroot}/usr/bin/looks
printf conf >%{buildroot}/etc/looks.conf
ln -s looks %{buildroot}/usr/bin/also
%files
/usr/bin/*
%config /etc/looks.conf
`,
	"old": `%define _binary_filedigest_algorithm 1
Name: old
Version: 5
Release: 1.el5
Summary: old
License: Apache-2.0
BuildArch: noarch
%description
old
%install
mkdir -p %{buildroot}/bin
printf old >%{buildroot}/bin/old
%files
/bin/old
`,
	"many": `Name: many
Version: 1
Release: 1
Summary: many
License: Apache-2.0
BuildArch: noarch
%description
many
%install
for i in $(seq ` + fmt.Sprint(manyFiles) + `); do
  mkdir -p %{buildroot}/opt/many/$i
  printf $i >%{buildroot}/opt/many/$i/README
  printf $i >%{buildroot}/opt/many/$i/file-$i
done
%files
/opt/many
`,
}

// run runs a command in a folder and returns what it prints on standard output.
func run(t testing.TB, dir, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000")
	var trouble bytes.Buffer
	c.Stderr = &trouble
	out, err := c.Output()
	require.NoError(t, err, "%s %v: %s", name, args, &trouble)
	return string(out)
}

// need skips the test where one of the commands is missing.
func need(t testing.TB, commands ...string) {
	for _, c := range commands {
		if _, err := exec.LookPath(c); err != nil {
			t.Skipf("SKIPPED: THE TEST NEEDS %s (Debian: rpm sqlite3 db5.3-util)", c)
		}
	}
}

// system is a root folder with a database file in it.
func system(t testing.TB, folder, name string, data []byte) (root string) {
	root = t.TempDir()
	dir := filepath.Join(root, folder)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	return root
}

// golden is a database that the tools wrote.
func golden(t testing.TB, name string) []byte {
	f, err := os.Open(filepath.Join("testdata", name+".gz"))
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	data, err := io.ReadAll(z)
	require.NoError(t, err)
	return data
}

// installed has rpm make the packages and note them in a database, whose folder it returns.
func installed(t *testing.T) (dir string) {
	need(t, "rpm", "rpmbuild", "sqlite3")
	top := t.TempDir()
	dir = filepath.Join(top, "var/lib/rpm")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for name, spec := range specs {
		file := filepath.Join(top, name+".spec")
		require.NoError(t, os.WriteFile(file, []byte(spec), 0o600))
		run(t, top, "rpmbuild", "--quiet", "-bb", "--define", "_topdir "+top, file)
	}
	packages, err := filepath.Glob(filepath.Join(top, "RPMS/noarch/*.rpm"))
	require.NoError(t, err)
	require.Len(t, packages, len(specs))
	run(t, top, "rpm", append([]string{"--dbpath", dir, "--justdb", "--nodeps", "-i"}, packages...)...)
	return dir
}

// hashOf has Berkeley DB's own loader make a database of the headers of one in SQLite's format.
func hashOf(t *testing.T, dir string) []byte {
	need(t, "db5.3_load")
	var dump strings.Builder
	dump.WriteString("VERSION=3\nformat=bytevalue\ntype=hash\ndb_pagesize=4096\nHEADER=END\n")
	fmt.Fprintf(&dump, " %08x\n %08x\n", 0, 1<<24) // how many there were, as rpm keeps it
	rows := run(t, dir, "sqlite3", sqliteName, "SELECT hnum, lower(hex(blob)) FROM Packages ORDER BY hnum")
	for row := range strings.Lines(rows) {
		number, blob, ok := strings.Cut(strings.TrimSpace(row), "|")
		require.True(t, ok)
		var n uint32
		_, err := fmt.Sscan(number, &n)
		require.NoError(t, err)
		fmt.Fprintf(&dump, " %x\n %s\n", binary.LittleEndian.AppendUint32(nil, n), blob)
	}
	dump.WriteString("DATA=END\n")
	text := filepath.Join(dir, "dump")
	require.NoError(t, os.WriteFile(text, []byte(dump.String()), 0o600))
	run(t, dir, "db5.3_load", "-f", text, hashName)
	data, err := os.ReadFile(filepath.Join(dir, hashName))
	require.NoError(t, err)
	return data
}

// TestEveryFileOfRealDatabases has rpm and Berkeley DB make databases, and finds each file as rpm lists it.
func TestEveryFileOfRealDatabases(t *testing.T) {
	dir := installed(t)
	list := run(t, dir, "rpm", "--dbpath", dir, "-qa", "--qf", "[%{=NAME} %{=EVR} %{FILENAMES} %{FILEDIGESTS}\n]")
	data, err := os.ReadFile(filepath.Join(dir, sqliteName))
	require.NoError(t, err)
	for name, data := range map[string][]byte{sqliteName: data, hashName: hashOf(t, dir)} {
		if *update {
			var b bytes.Buffer
			z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
			require.NoError(t, err)
			_, err = z.Write(data)
			require.NoError(t, err)
			require.NoError(t, z.Close())
			require.NoError(t, os.MkdirAll("testdata", 0o755))
			require.NoError(t, os.WriteFile(filepath.Join("testdata", name+".gz"), b.Bytes(), 0o644))
		}
		d, files := New(system(t, "var/lib/rpm", name, data)), 0
		for line := range strings.Lines(list) {
			words := append(strings.Fields(line), "")
			own, err := d.Owner(words[2])
			require.NoError(t, err, line)
			require.Equal(t, Owner{
				Package: words[0], Version: words[1], Sum: words[3], MD5: words[0] == "old" && words[3] != "",
			}, own, line)
			files++
		}
		require.Greater(t, files, 2*manyFiles)
	}
}

// TestOwner asks databases that rpm and Berkeley DB have written, without either.
func TestOwner(t *testing.T) {
	const tool = "7c9bbe5ec9b3fb774e8fa0f54247e93c34ddf8e5d16fe3073420de0ae81a262d"
	for _, format := range []string{sqliteName, hashName} {
		for _, folder := range folders {
			root := system(t, folder, format, golden(t, format))
			require.NoError(t, os.MkdirAll(filepath.Join(root, "usr/bin"), 0o755))
			require.NoError(t, os.Symlink("usr/bin", filepath.Join(root, "bin")))
			for path, want := range map[string]Owner{
				"/usr/bin/looks": {Package: "looks", Version: "2:1.4-3", Sum: tool},
				"/bin/looks":     {Package: "looks", Version: "2:1.4-3", Sum: tool}, // the same folder
				"/usr/bin/also":  {Package: "looks", Version: "2:1.4-3"},            // a link has no contents
				"/usr/bin/old":   {Package: "old", Version: "5-1.el5", Sum: "149603e6c03516362a8da23f624db945", MD5: true},
				"/opt/looks":     {},
				"/usr/bin/look":  {},
				"/usr/bin/ooks":  {},
				"/nobody's":      {},
			} {
				own, err := New(root).Owner(path)
				require.NoError(t, err, path)
				require.Equal(t, want, own, "%s in %s of %s", path, folder, format)
			}
		}
	}
}

// TestTransactionThatIsNotInTheFileYet has SQLite's own log hold what the file does not: rpm's transaction runs, or was
// cut off.
func TestTransactionThatIsNotInTheFileYet(t *testing.T) {
	need(t, "sqlite3")
	root := system(t, "var/lib/rpm", sqliteName, golden(t, sqliteName))
	dir := filepath.Join(root, "var/lib/rpm")
	kept := t.TempDir()
	c := exec.Command("sqlite3", sqliteName)
	c.Dir = dir
	c.Stdin = strings.NewReader("PRAGMA journal_mode=WAL;\nPRAGMA wal_autocheckpoint=0;\n" +
		"DELETE FROM Basenames WHERE key='looks';\nDELETE FROM Basenames WHERE key='old';\n.system cp rpmdb.* " + kept + "\n")
	out, err := c.CombinedOutput()
	require.NoError(t, err, string(out))
	state := func(file, log []byte) Database {
		root := system(t, "var/lib/rpm", sqliteName, file)
		require.NoError(t, os.WriteFile(filepath.Join(root, "var/lib/rpm", walName), log, 0o600))
		return New(root)
	}
	file, err := os.ReadFile(filepath.Join(kept, sqliteName))
	require.NoError(t, err)
	log, err := os.ReadFile(filepath.Join(kept, walName))
	require.NoError(t, err)
	require.NotEmpty(t, log)
	torn := bytes.Clone(log)
	torn[len(torn)-1]++
	stale := bytes.Clone(log)
	stale[20]++
	for name, c := range map[string]struct {
		log       []byte
		tool, old string
	}{
		"whole":                       {log: log},
		"without the end of the last": {log: log[:len(log)-1], old: "old"},
		"the last is torn":            {log: torn, old: "old"},
		"of another time":             {log: stale, tool: "looks", old: "old"},
		"empty":                       {tool: "looks", old: "old"},
	} {
		d := state(file, c.log)
		tool, err := d.Owner("/usr/bin/looks")
		require.NoError(t, err, name)
		require.Equal(t, c.tool, tool.Package, name)
		old, err := d.Owner("/bin/old")
		require.NoError(t, err, name)
		require.Equal(t, c.old, old.Package, name)
	}
	bad := bytes.Clone(log)
	bad[0]++
	_, err = state(file, bad).Owner("/usr/bin/looks")
	require.ErrorIs(t, err, errMalformed)
	require.ErrorContains(t, err, walName)
}

// TestHostsWithoutADatabaseThatIsRead is of no database, and of one in a format that is not read.
func TestHostsWithoutADatabaseThatIsRead(t *testing.T) {
	d := New(t.TempDir())
	_, err := d.Owner("/usr/bin/ss")
	require.ErrorIs(t, err, ErrNone)
	require.Zero(t, d.Mark())

	_, err = New(system(t, "usr/lib/sysimage/rpm", "Packages.db", []byte("RpmP"))).Owner("/usr/bin/ss")
	require.ErrorIs(t, err, ErrFormat)

	_, err = New(system(t, "var/lib/rpm", sqliteName, nil)).Owner("/usr/bin/ss")
	require.ErrorIs(t, err, errMalformed)

	root := system(t, "var/lib/rpm", "x", nil)
	require.NoError(t, os.Mkdir(filepath.Join(root, "var/lib/rpm", sqliteName), 0o755))
	_, err = New(root).Owner("/usr/bin/ss")
	require.ErrorContains(t, err, "not a regular file")
}

// TestAnInstallationMovesTheMark is about all by which one state of a database differs from the next.
func TestAnInstallationMovesTheMark(t *testing.T) {
	seen := map[Mark]bool{}
	root := system(t, "var/lib/rpm", sqliteName, []byte("a"))
	for _, change := range []struct{ name, text string }{
		{sqliteName, "ab"}, {walName, ""}, {walName, "a"}, {hashName, "a"}, {hashName, "ab"}, {"Packages.db", "a"},
	} {
		seen[New(root).Mark()] = true
		require.NoError(t, os.WriteFile(filepath.Join(root, "var/lib/rpm", change.name), []byte(change.text), 0o600))
	}
	seen[New(root).Mark()] = true
	require.Len(t, seen, 7)
}

// TestReplacedFilesHaveAnotherOwner marks a file of a package as replaced by another's.
func TestReplacedFilesHaveAnotherOwner(t *testing.T) {
	header := headerOf(t, "looks")
	anywhere := func(string) bool { return true }
	own, found, err := ownerIn(header, "looks", anywhere)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, "looks", own.Package)
	h, err := parseHeader(header)
	require.NoError(t, err)
	states, count := h.find(tagFileStates, typeChar)
	for i := range count {
		states[i] = 1
	}
	_, found, err = ownerIn(header, "looks", anywhere)
	require.NoError(t, err)
	require.False(t, found)
}

// headerOf is the header of a package of the golden database.
func headerOf(t testing.TB, name string) (header []byte) {
	root := system(t, "var/lib/rpm", hashName, golden(t, hashName))
	f, err := open(filepath.Join(root, "var/lib/rpm", hashName))
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, visitHash(f, name, func(h []byte) bool {
		header = bytes.Clone(h)
		parsed, err := parseHeader(h)
		require.NoError(t, err)
		return parsed.text(tagName) != name
	}))
	require.NotEmpty(t, header)
	return header
}

// FuzzSQLite has pages of a real database, and of a log of it, changed: what is malformed is an error.
func FuzzSQLite(f *testing.F) {
	real := golden(f, sqliteName)
	f.Add(uint32(0), []byte{}, []byte{})
	f.Add(uint32(100), []byte{5, 0, 0, 0, 1}, []byte{0x37, 0x7f, 6, 0x82})
	f.Add(uint32(4096), bytes.Repeat([]byte{0xff}, 64), bytes.Repeat([]byte{0}, 4200))
	f.Fuzz(func(t *testing.T, at uint32, change, log []byte) {
		data := bytes.Clone(real)
		copy(data[int(at)%len(data):], change)
		root := system(t, "var/lib/rpm", sqliteName, data)
		require.NoError(t, os.WriteFile(filepath.Join(root, "var/lib/rpm", walName), log, 0o600))
		answers(t, New(root))
	})
}

// FuzzHash has pages of a real database changed.
func FuzzHash(f *testing.F) {
	real := golden(f, hashName)
	f.Add(uint32(0), []byte{})
	f.Add(uint32(20), []byte{0, 2, 0, 0})
	f.Add(uint32(4096+20), []byte{0xff, 0xff, 0, 0})
	f.Fuzz(func(t *testing.T, at uint32, change []byte) {
		data := bytes.Clone(real)
		copy(data[int(at)%len(data):], change)
		answers(t, New(system(t, "var/lib/rpm", hashName, data)))
	})
}

// FuzzHeader has the header of a real package changed.
func FuzzHeader(f *testing.F) {
	real := headerOf(f, "looks")
	f.Add(uint32(0), []byte{})
	f.Add(uint32(0), []byte{0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, at uint32, change []byte) {
		header := bytes.Clone(real)
		copy(header[int(at)%len(header):], change)
		own, found, err := ownerIn(header, "looks", func(string) bool { return true })
		if found && (own.Package == "" || err != nil) || !found && own != (Owner{}) {
			t.Fatalf("%v %v %v", own, found, err)
		}
	})
}

// hexSum is what a checksum is.
var hexSum = regexp.MustCompile(`^([0-9a-f]{32}|[0-9a-f]{64})?$`)

// answers asks about a file that is in the database, unless that is malformed.
func answers(t *testing.T, d Database) {
	own, err := d.Owner("/usr/bin/looks")
	if err != nil && own != (Owner{}) || !hexSum.MatchString(own.Sum) || own.MD5 && len(own.Sum) != 32 {
		t.Fatalf("%+v %v", own, err)
	}
}

func BenchmarkOwner(b *testing.B) {
	for _, format := range []string{sqliteName, hashName} {
		d := New(system(b, "var/lib/rpm", format, golden(b, format)))
		b.Run(format, func(b *testing.B) {
			for b.Loop() {
				if _, err := d.Owner("/usr/bin/looks"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
