// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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

// crowd is a package of many packages with a file each, so that ndb's slots have a second page.
const crowd = `Name: crowd
Version: 1
Release: 1
Summary: crowd
License: Apache-2.0
BuildArch: noarch
%description
crowd
%install
mkdir -p %{buildroot}/usr/bin
for i in $(seq 300); do printf $i >%{buildroot}/usr/bin/crowd-$i; done
%{lua:for i = 1, 300 do
  print("%package " .. i .. "\nSummary: crowd\n%description " .. i .. "\ncrowd\n")
  print("%files " .. i .. "\n/usr/bin/crowd-" .. i .. "\n")
end}
`

// listing has rpm print a line for each file of each package.
var listing = []string{"-qa", "--qf", "[%{=NAME} %{=EVR} %{FILENAMES} %{FILEDIGESTS}\n]"}

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
	return systemOf(t, folder, map[string][]byte{name: data})
}

// systemOf is a root folder with a database of files in it.
func systemOf(t testing.TB, folder string, files map[string][]byte) (root string) {
	root = t.TempDir()
	dir := filepath.Join(root, folder)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for name, data := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
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

// writeGolden writes a file that golden reads.
func writeGolden(t *testing.T, name string, data []byte) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	require.NoError(t, err)
	_, err = z.Write(data)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	require.NoError(t, os.MkdirAll("testdata", 0o755))
	require.NoError(t, os.WriteFile(filepath.Join("testdata", name+".gz"), b.Bytes(), 0o644))
}

// built has rpm make packages of specs, and returns their files.
func built(t *testing.T, specs map[string]string) (packages []string) {
	need(t, "rpm", "rpmbuild")
	top := t.TempDir()
	for name, spec := range specs {
		file := filepath.Join(top, name+".spec")
		require.NoError(t, os.WriteFile(file, []byte(spec), 0o600))
		run(t, top, "rpmbuild", "--quiet", "-bb", "--define", "_topdir "+top, file)
	}
	packages, err := filepath.Glob(filepath.Join(top, "RPMS/noarch/*.rpm"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(packages), len(specs))
	return packages
}

// installed has rpm make the packages and note them in a database, whose folder it returns.
func installed(t *testing.T) (dir string) {
	need(t, "sqlite3")
	packages := built(t, specs)
	dir = t.TempDir()
	run(t, dir, "rpm", append([]string{"--dbpath", dir, "--justdb", "--nodeps", "-i"}, packages...)...)
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

// holds asks a database for each file of rpm's list of another one with the same packages, or of itself.
func holds(t *testing.T, d Database, list string) (files int) {
	for line := range strings.Lines(list) {
		words := append(strings.Fields(line), "")
		own, err := d.Owner(words[2])
		require.NoError(t, err, line)
		require.Equal(t, Owner{
			Package: words[0], Version: words[1], Sum: words[3], MD5: words[0] == "old" && words[3] != "",
		}, own, line)
		files++
	}
	return files
}

// TestEveryFileOfRealDatabases has rpm and Berkeley DB make databases, and finds each file as rpm lists it.
func TestEveryFileOfRealDatabases(t *testing.T) {
	dir := installed(t)
	list := run(t, dir, "rpm", append([]string{"--dbpath", dir}, listing...)...)
	data, err := os.ReadFile(filepath.Join(dir, sqliteName))
	require.NoError(t, err)
	for name, data := range map[string][]byte{sqliteName: data, hashName: hashOf(t, dir)} {
		if *update {
			writeGolden(t, name, data)
		}
		require.Greater(t, holds(t, New(system(t, "var/lib/rpm", name, data)), list), 2*manyFiles)
	}
}

// listName is the golden file with rpm's own list of the golden database in ndb's format.
const listName = "ndb.txt"

// TestEveryFileOfNDB finds each file as the rpm has listed it that wrote the golden database. To write it anew, with
// -update, rpm must be one that was built with ndb, as SUSE's is and Debian's is not.
func TestEveryFileOfNDB(t *testing.T) {
	if *update {
		recordNDB(t)
	}
	list := string(golden(t, listName))
	for _, d := range []Database{ndbSystem(t, golden(t, indexName)), ndbSystem(t, nil)} {
		require.Greater(t, holds(t, d, list), 2*manyFiles+250)
		for _, erased := range []string{"/usr/bin/gone", "/usr/bin/crowd-7"} {
			own, err := d.Owner(erased)
			require.NoError(t, err)
			require.Zero(t, own, erased)
		}
		own, err := d.Owner("/usr/bin/crowd-300") // in a place that was another package's
		require.NoError(t, err)
		require.Equal(t, "crowd-300", own.Package)
	}
}

// recordNDB has rpm write the golden database, in which packages were erased and replaced by others.
func recordNDB(t *testing.T) {
	all := maps.Clone(specs)
	all["crowd"] = crowd
	all["gone"] = strings.NewReplacer("looks", "gone", "also", "gone-also").Replace(specs["looks"])
	packages := built(t, all)
	last := slices.IndexFunc(packages, func(p string) bool { return strings.Contains(p, "crowd-300") })
	require.NotEqual(t, -1, last)
	dir := t.TempDir()
	ndb := func(args ...string) string {
		return run(t, dir, "rpm", append([]string{"--define", "_db_backend ndb", "--dbpath", dir}, args...)...)
	}
	ndb(append([]string{"--justdb", "--nodeps", "-i"}, slices.Delete(slices.Clone(packages), last, last+1)...)...)
	ndb("--justdb", "-e", "gone", "crowd-7", "crowd-8", "crowd-9")
	ndb("--justdb", "--nodeps", "-i", packages[last])
	writeGolden(t, listName, []byte(ndb(listing...)))
	for _, name := range []string{ndbName, indexName} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err, "rpm was built without ndb")
		writeGolden(t, name, data)
	}
}

// ndbSystem is a system with the golden database in ndb's format; index nil: with no index beside it.
func ndbSystem(t testing.TB, index []byte) Database {
	files := map[string][]byte{ndbName: golden(t, ndbName)}
	if index != nil {
		files[indexName] = index
	}
	return New(systemOf(t, "usr/lib/sysimage/rpm", files))
}

// TestIndexesThatAreNotUpToDate is about indexes without the name of a file that is there: only one that is up to date
// is believed.
func TestIndexesThatAreNotUpToDate(t *testing.T) {
	index := golden(t, indexName)
	for name, c := range map[string]struct {
		change func(index []byte)
		owner  string
	}{
		"up to date":           {change: func([]byte) {}},
		"of another time":      {change: func(b []byte) { b[20]++ }, owner: "looks"},
		"of another version":   {change: func(b []byte) { b[4]++ }, owner: "looks"},
		"of another page size": {change: func(b []byte) { b[17] = 0 }, owner: "looks"},
		"with no index":        {change: func(b []byte) { clear(b[indexFileHead:4096]) }, owner: "looks"},
		"empty":                {change: func(b []byte) { clear(b) }, owner: "looks"},
	} {
		wrong := bytes.ReplaceAll(index, []byte("\x05looks"), []byte("\x05books"))
		c.change(wrong)
		own, err := ndbSystem(t, wrong).Owner("/usr/bin/looks")
		require.NoError(t, err, name)
		require.Equal(t, c.owner, own.Package, name)
	}
}

// TestTornHeadersOfNDB is about headers whose checksum is wrong, or which are not there. Those of other packages are.
func TestTornHeadersOfNDB(t *testing.T) {
	data, index := golden(t, ndbName), golden(t, indexName)
	version := bytes.Index(data, []byte("looks\x001.4\x003\x00"))
	require.Positive(t, version)
	torn := bytes.Clone(data)
	torn[version+6]++
	for name, files := range map[string]map[string][]byte{
		"torn, with an index":      {ndbName: torn, indexName: index},
		"torn, without an index":   {ndbName: torn},
		"cut off":                  {ndbName: data[:len(data)/2]},
		"slots that are none":      {ndbName: append(bytes.Clone(data[:ndbHead]), make([]byte, 2*ndbPage)...)},
		"of a later version":       {ndbName: append([]byte(ndbMagic+"\x01"), data[5:]...)},
		"shorter than a head":      {ndbName: data[:ndbHead-1]},
		"fewer slots than indexed": {ndbName: append(append([]byte{}, data[:12]...), make([]byte, 20)...), indexName: index},
	} {
		_, err := New(systemOf(t, "usr/lib/sysimage/rpm", files)).Owner("/usr/bin/looks")
		require.ErrorIs(t, err, errMalformed, name)
	}
	d := New(systemOf(t, "var/lib/rpm", map[string][]byte{ndbName: torn, indexName: index}))
	own, err := d.Owner("/usr/bin/crowd-1")
	require.NoError(t, err)
	require.Equal(t, "crowd-1", own.Package)
}

// TestNDBThatIsWrittenMeanwhile has the generation move, and the file replaced, while a header is read.
func TestNDBThatIsWrittenMeanwhile(t *testing.T) {
	for name, change := range map[string]struct {
		do   func(t *testing.T, path string)
		want error
	}{
		"written": {
			do: func(t *testing.T, path string) {
				f, err := os.OpenFile(path, os.O_WRONLY, 0)
				require.NoError(t, err)
				_, err = f.WriteAt([]byte{0xff}, 8)
				require.NoError(t, err)
				require.NoError(t, f.Close())
			},
			want: errChanging,
		},
		"replaced": {do: func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path+".new", []byte(ndbMagic), 0o600))
			require.NoError(t, os.Rename(path+".new", path))
		}},
	} {
		path := filepath.Join(ndbSystem(t, golden(t, indexName)).root, folders[0], ndbName)
		f, err := open(path)
		require.NoError(t, err)
		defer f.Close()
		err = visitNDB(f, "looks", func([]byte) bool { change.do(t, path); return true })
		require.ErrorIs(t, err, change.want, name)
	}
}

// TestOwner asks databases that rpm and Berkeley DB have written, without either.
func TestOwner(t *testing.T) {
	const tool = "7c9bbe5ec9b3fb774e8fa0f54247e93c34ddf8e5d16fe3073420de0ae81a262d"
	for _, format := range [][]string{{sqliteName}, {hashName}, {ndbName}, {ndbName, indexName}} {
		for _, folder := range folders {
			files := map[string][]byte{}
			for _, name := range format {
				files[name] = golden(t, name)
			}
			root := systemOf(t, folder, files)
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

// TestHostsWithoutADatabaseThatIsRead is of no database, and of ones that are none.
func TestHostsWithoutADatabaseThatIsRead(t *testing.T) {
	d := New(t.TempDir())
	_, err := d.Owner("/usr/bin/ss")
	require.ErrorIs(t, err, ErrNone)
	require.Zero(t, d.Mark())

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
		{sqliteName, "ab"}, {walName, ""}, {walName, "a"}, {hashName, "a"}, {hashName, "ab"}, {ndbName, "a"},
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

// FuzzNDB has slots and blobs of a real database, and its index, changed.
func FuzzNDB(f *testing.F) {
	files := map[string][]byte{ndbName: golden(f, ndbName), indexName: golden(f, indexName)}
	names := bytes.Index(files[indexName], []byte(indexMagic))
	f.Add(uint32(0), []byte{}, uint32(0), []byte{})
	f.Add(uint32(12), []byte{0xff, 0xff, 0xff, 0xff}, uint32(12), []byte{0xff, 0xff, 0xff, 0xff})
	f.Add(uint32(ndbHead+8), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, uint32(40), []byte{0, 0, 0, 0x80})
	f.Add(uint32(4), []byte{}, uint32(names+12), []byte{1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, at uint32, change []byte, atIndex uint32, changeIndex []byte) {
		data, index := bytes.Clone(files[ndbName]), bytes.Clone(files[indexName])
		copy(data[int(at)%len(data):], change)
		copy(index[int(atIndex)%len(index):], changeIndex)
		answers(t, New(systemOf(t, "var/lib/rpm", map[string][]byte{ndbName: data, indexName: index})))
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
	for name, files := range map[string][]string{
		sqliteName: {sqliteName}, hashName: {hashName}, ndbName: {ndbName, indexName}, "no " + indexName: {ndbName},
	} {
		data := map[string][]byte{}
		for _, file := range files {
			data[file] = golden(b, file)
		}
		d := New(systemOf(b, "var/lib/rpm", data))
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := d.Owner("/usr/bin/looks"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
