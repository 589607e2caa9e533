// SPDX-License-Identifier: Apache-2.0

// Package rpm reads the database of the package manager of Red Hat, Fedora and their like: which package a file belongs
// to, and which checksum the package gave it. It runs no command and changes nothing.
//
// The database keeps the header of each installed package. Since RHEL 9 and Fedora 33 it is in SQLite's format, with an
// index from the names of files to the packages: a question reads some 20 pages of it, and the headers of the packages
// that have a file of the name. Before, it is a hash of Berkeley DB, of which a question reads all. SUSE's is ndb's
// file of headers, with a file of indexes beside it: a question reads the slots of all packages, and the headers as
// above.
//
// Who is root can change the database as well as the file. What it says is evidence of change, not of innocence.
package rpm

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Bounds of what is read, in bytes.
const (
	headerMost   = 64 << 20  // of a package's header; that of one with 100,000 files has 20 MB
	databaseMost = 512 << 20 // of a question
)

var (
	// ErrNone says that the host has no database that can be read.
	ErrNone = errors.New("no database of rpm")
	// errMalformed says that the database is not what its format says.
	errMalformed = errors.New("malformed")
	// errTooMuch says that a question would read more than it may.
	errTooMuch = fmt.Errorf("more than %d MiB would be read", databaseMost>>20)
	// errChanging says that the database was written while it was read.
	errChanging = errors.New("it is being written")
)

// folders are where the database is, the newer place first; the older one may be a link to it.
var folders = []string{"usr/lib/sysimage/rpm", "var/lib/rpm"}

// The names of the database in its formats, and of what SQLite's has beside it while it is written, and ndb's always.
const (
	sqliteName = "rpmdb.sqlite"
	walName    = sqliteName + "-wal"
	hashName   = "Packages"
	ndbName    = "Packages.db"
	indexName  = "Index.db"
)

// Database is the database under a root folder.
type Database struct {
	root string
}

// New names the database of the system under a root folder, "/" for this host's. It reads nothing yet.
func New(root string) Database { return Database{root: root} }

// Owner is the package that a file belongs to. The zero Owner: no package's.
type Owner struct {
	Package string
	Version string // with epoch and release, as rpm writes it: 2:1.4-3
	// Sum is lower-case hex, of the contents that it installed; empty: none of a kind that is read, as for links.
	Sum string
	MD5 bool // what Sum is, as before RHEL 6; else SHA-256
}

// Mark is different for different states of the database. The zero Mark: there is none.
type Mark struct {
	sqlite, wal, hash, ndb fileMark // ndb's index follows its headers
}

// fileMark is different for different states of a file.
type fileMark struct {
	written unix.Timespec
	size    int64
}

// Mark returns the state that the database is in, from at most eight stat(2).
func (d Database) Mark() Mark {
	var m Mark
	for name, at := range map[string]*fileMark{
		sqliteName: &m.sqlite, walName: &m.wal, hashName: &m.hash, ndbName: &m.ndb,
	} {
		for _, folder := range folders {
			var st unix.Stat_t
			if unix.Stat(filepath.Join(d.root, folder, name), &st) == nil {
				*at = fileMark{st.Mtim, st.Size}
				break
			}
		}
	}
	return m
}

// Owner finds whose a file is. path is absolute and leads through no symbolic link. The error is ErrNone, or
// says what could not be read.
func (d Database) Owner(path string) (Owner, error) {
	before := d.Mark()
	o, err := d.owner(path)
	if (err == nil || errors.Is(err, errMalformed)) && d.Mark() != before {
		err = fmt.Errorf("reading rpm's database: %w", errChanging)
	}
	if err != nil {
		return Owner{}, err
	}
	return o, nil
}

func (d Database) owner(path string) (Owner, error) {
	for _, format := range []struct {
		name string
		read func(db *os.File, name string, visit func(header []byte) bool) error
	}{{sqliteName, visitSQLite}, {ndbName, visitNDB}, {hashName, visitHash}} {
		for _, folder := range folders {
			f, err := open(filepath.Join(d.root, folder, format.name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return Owner{}, fmt.Errorf("reading rpm's database: %w", err)
			}
			o, err := d.search(path, func(visit func([]byte) bool) error {
				defer f.Close()
				return format.read(f, filepath.Base(path), visit)
			})
			if err != nil {
				return Owner{}, fmt.Errorf("reading %s: %w", f.Name(), err)
			}
			return o, nil
		}
	}
	return Owner{}, ErrNone
}

// search finds the owner of a file among the headers of packages.
func (d Database) search(path string, headers func(visit func([]byte) bool) error) (o Owner, err error) {
	dir, name := filepath.Split(path)
	same := d.sameFolder(dir)
	var bad error
	err = headers(func(blob []byte) bool {
		var found bool
		o, found, bad = ownerIn(blob, name, same)
		return !found && bad == nil
	})
	return o, errors.Join(err, bad)
}

// sameFolder reports whether a package's name of a folder leads to another one: where /bin is a link to /usr/bin,
// packages may have either.
func (d Database) sameFolder(dir string) func(string) bool {
	at, err := os.Stat(filepath.Join(d.root, dir))
	return func(other string) bool {
		if filepath.Clean(other) == filepath.Clean(dir) {
			return true
		}
		if err != nil {
			return false
		}
		to, err := os.Stat(filepath.Join(d.root, other))
		return err == nil && os.SameFile(at, to)
	}
}

// open opens a regular file.
func open(path string) (*os.File, error) {
	// Without waiting, for it may be a pipe.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// source reads places of a file, and no more than databaseMost in all.
type source struct {
	io.ReaderAt
	left int64
}

// read fills b from a place.
func (s *source) read(b []byte, at int64) error {
	if s.left -= int64(len(b)); s.left < 0 {
		return errTooMuch
	}
	n, err := s.ReadAt(b, at)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it ends at %d", errMalformed, at+int64(n))
	}
	return err
}
