// SPDX-License-Identifier: Apache-2.0

// Package dpkg reads the database of Debian's package manager: which package a file belongs to, and which checksum the
// package gave it. It runs no command and changes nothing.
//
// The database is a folder of texts (dpkg(1), deb-md5sums(5), dpkg-divert(1)). info/PACKAGE.list names a package's
// files, info/PACKAGE.md5sums their checksums, status the versions, diversions the files that one package has moved out
// of another's way. There is no index from files to packages: a question reads all lists, some 10 MB on a host with 800
// packages, and nothing of them is kept.
//
// MD5 does not stop who makes a file to have a given checksum on purpose; nobody is known to do that for a file that
// another person made (a second preimage). Who is root can change the database as well as the file. What it says is
// evidence of change, not of innocence.
package dpkg

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Bounds of what is read, in bytes and files.
const (
	fileMost  = 64 << 20  // of one file: status has some 3 KB a package
	listsMost = 256 << 20 // of all lists together
	namesMost = 1 << 17   // of files in info
)

// ErrNone says that the host has no such database.
var ErrNone = errors.New("no database of dpkg")

// errTooLarge says that a file of the database is larger than one that is read.
var errTooLarge = fmt.Errorf("larger than %d MiB", fileMost>>20)

// Database is the database under a root folder.
type Database struct {
	root string
}

// New names the database of the system under a root folder, "/" for this host's. It reads nothing yet.
func New(root string) Database { return Database{root: root} }

// Owner is the package that a file belongs to. The zero Owner: no package's.
type Owner struct {
	Package string // its name without an architecture
	Version string // empty: the database does not name one
	MD5     string // lower-case hex, of the contents that it installed; empty: it has given none, as for configuration
}

// Mark is different for different states of the database. The zero Mark: there is none.
type Mark struct {
	status, info, diversions unix.Timespec
}

// Mark returns the state that the database is in, from three stat(2). While dpkg runs, lists may be newer than the
// state; once it has ended, the Mark is another.
func (d Database) Mark() Mark {
	var m Mark
	for path, at := range map[string]*unix.Timespec{
		"status": &m.status, "info": &m.info, "diversions": &m.diversions,
	} {
		var st unix.Stat_t
		if unix.Stat(d.path(path), &st) == nil {
			*at = st.Mtim
		}
	}
	return m
}

func (d Database) path(name string) string { return filepath.Join(d.root, "var/lib/dpkg", name) }

// Owner finds whose a file is. path is absolute and leads through no symbolic link. The error is ErrNone, or says what
// could not be read.
func (d Database) Owner(path string) (Owner, error) {
	wanted, err := d.resolve(path)
	if err != nil || wanted.names == nil {
		return Owner{}, err
	}
	list, name, err := d.search(wanted)
	if err != nil || list == "" {
		return Owner{}, err
	}
	pkg, arch, _ := strings.Cut(list, ":")
	o := Owner{Package: pkg}
	sums, err := read(d.path("info/"+list+".md5sums"), nil)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Owner{}, err
	}
	o.MD5 = sumOf(sums, name)
	status, err := read(d.path("status"), nil)
	if err != nil {
		return Owner{}, err
	}
	o.Version = versionOf(status, pkg, arch)
	return o, nil
}

// query is what to look for in the lists. No names: the file is nobody's.
type query struct {
	names  []string // the file's, as lists may have it
	only   string   // the package that it can be of; empty: any
	except string   // one that it cannot be of; empty: none
}

// resolve says under which name lists have a file: where /bin is a link to /usr/bin, packages may have either, and what
// is diverted is listed where it was.
func (d Database) resolve(path string) (query, error) {
	b, err := read(d.path("diversions"), nil)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return query{}, err
	}
	for _, v := range diversions(b) {
		switch {
		case d.merged(v.to) == d.merged(path):
			return query{names: d.aliases(v.from), except: v.by}, nil
		case d.merged(v.from) != d.merged(path):
		case v.by == "":
			return query{}, nil // the administrator has put something of their own there
		default:
			return query{names: d.aliases(path), only: v.by}, nil
		}
	}
	return query{names: d.aliases(path)}, nil
}

// aliases are the names that packages may have for a file.
func (d Database) aliases(path string) []string {
	long := d.merged(path)
	short, ok := strings.CutPrefix(long, "/usr")
	if !ok || d.merged(short) != long {
		return []string{path}
	}
	return []string{long, short}
}

// merged is the name of a file under /usr, where the folder that it is in at the root is a link to the one there.
func (d Database) merged(path string) string {
	top, _, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !ok || top != "bin" && top != "sbin" && !strings.HasPrefix(top, "lib") {
		return path
	}
	to, err := os.Readlink(filepath.Join(d.root, top))
	if err != nil || strings.Trim(to, "/") != "usr/"+top {
		return path
	}
	return "/usr" + path
}

// search reads the lists until one has the file. It returns the list's name without its ending, and the name that it
// has for the file; empty: none has it.
func (d Database) search(q query) (list, name string, err error) {
	dir, err := os.Open(d.path("info"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", ErrNone
	}
	if err != nil {
		return "", "", fmt.Errorf("reading dpkg's lists: %w", err)
	}
	defer dir.Close()
	files, err := dir.Readdirnames(namesMost)
	if err != nil && err != io.EOF {
		return "", "", fmt.Errorf("reading dpkg's lists: %w", err)
	}
	var buffer []byte
	total := 0
	for _, file := range files {
		list, ok := strings.CutSuffix(file, ".list")
		pkg, _, _ := strings.Cut(list, ":")
		if !ok || q.only != "" && pkg != q.only || pkg == q.except {
			continue
		}
		buffer, err = read(d.path("info/"+file), buffer)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has just been removed
		}
		if err != nil {
			return "", "", err
		}
		if total += len(buffer); total > listsMost {
			return "", "", fmt.Errorf("dpkg's lists are larger than %d MiB", listsMost>>20)
		}
		for _, name := range q.names {
			if hasLine(buffer, name) {
				return list, name, nil
			}
		}
	}
	return "", "", nil
}

// read reads a whole file into buffer, which may grow.
func read(path string, buffer []byte) ([]byte, error) {
	// Without waiting, for it may be a pipe.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	b := bytes.NewBuffer(buffer[:0])
	n, err := b.ReadFrom(io.LimitReader(f, fileMost+1))
	if err == nil && n > fileMost {
		err = errTooLarge
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return b.Bytes(), nil
}

// hasLine reports whether a text has a line.
func hasLine(text []byte, line string) bool {
	want := []byte(line)
	for from := 0; len(want) > 0; {
		i := bytes.Index(text[from:], want)
		if i < 0 {
			return false
		}
		start := from + i
		end := start + len(want)
		if (start == 0 || text[start-1] == '\n') && (end == len(text) || text[end] == '\n') {
			return true
		}
		from = start + 1
	}
	return false
}

// sumOf finds a file's checksum among lines of 32 hexadecimal digits, two blanks and a path without its first slash.
func sumOf(sums []byte, path string) string {
	path = strings.TrimPrefix(path, "/")
	for line := range bytes.Lines(sums) {
		sum, name, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte("  "))
		if ok && string(name) == path && len(sum) == 32 && len(bytes.Trim(sum, "0123456789abcdef")) == 0 {
			return string(sum)
		}
	}
	return ""
}

// versionOf finds the version of an installed package. arch is empty where only one architecture's can be installed.
func versionOf(status []byte, pkg, arch string) string {
	for len(status) > 0 {
		var stanza []byte
		stanza, status, _ = bytes.Cut(status, []byte("\n\n"))
		fields := map[string]string{}
		for line := range bytes.Lines(stanza) {
			name, value, ok := bytes.Cut(line, []byte(": "))
			if !ok || line[0] == ' ' {
				continue
			}
			if name := string(name); slices.Contains([]string{"Package", "Version", "Architecture"}, name) {
				fields[name] = string(bytes.TrimSpace(value))
			}
			if fields["Package"] != "" && fields["Package"] != pkg {
				break
			}
		}
		if fields["Package"] == pkg && (arch == "" || fields["Architecture"] == arch) {
			return fields["Version"]
		}
	}
	return ""
}

// diversion is a file that was moved out of the way.
type diversion struct {
	from, to string
	by       string // the package whose file is there now; empty: the administrator's
}

// diversions reads dpkg's file of diversions, three lines each.
func diversions(b []byte) (all []diversion) {
	var lines []string
	for line := range bytes.Lines(b) {
		lines = append(lines, string(bytes.TrimSuffix(line, []byte("\n"))))
		if len(lines) == 3 {
			by := lines[2]
			if by == ":" {
				by = ""
			}
			all = append(all, diversion{from: lines[0], to: lines[1], by: by})
			lines = lines[:0]
		}
	}
	return all
}
