// SPDX-License-Identifier: Apache-2.0

// Package logins reads the host's history of logins, wtmp(5): since when an account has come from an address, and who
// else has. It is last(1), asked by address.
//
// wtmp has logins with a terminal; what ssh runs without one is not in it. Of the file, and of the one that logrotate
// has put aside, the end is read, up to a stated size. Hosts with wtmpdb have none of it.
package logins

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

const (
	// fileMost is how much of a file is read, from its end: 5,400 logins and logouts.
	fileMost = 2 << 20
	// othersMost is how many other accounts an answer names.
	othersMost = 8
)

// files are the history, the newest first.
var files = []string{"/var/log/wtmp", "/var/log/wtmp.1"}

// Known is what the history says of an account and an address before a session.
type Known struct {
	Logins      int       // of the account from the address
	First, Last time.Time // zero: there is none
	Others      []string  // other accounts that came from the address, the latest first
	Since       time.Time // the oldest login that was read: what was before is not known. Zero: there is no history
}

// History is the history of the host whose files are under a root folder.
type History struct{ root string }

// New makes a History, which reads nothing yet.
func New(root string) History { return History{root: root} }

// Of says what the history has of an account and an address before a time. A host without a history has none.
func (h History) Of(name string, from netip.Addr, before time.Time) (k Known, err error) {
	for _, file := range files {
		text, err := h.tail(file)
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		if err != nil {
			return Known{}, fmt.Errorf("reading the history of logins: %w", err)
		}
		k.add(text, name, from.Unmap(), before)
	}
	return k, nil
}

// tail is the end of a file, of whole records.
func (h History) tail(name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(h.root, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := info.Size() / int64(native.size) * int64(native.size)
	start := max(0, size-fileMost/int64(native.size)*int64(native.size))
	return io.ReadAll(io.NewSectionReader(f, start, size-start))
}

// layout is how a record lies in the file (utmp.h): what stands before the time is the same everywhere.
type layout struct {
	size, seconds, address int
	wide                   bool // the time has 64 bits
}

const (
	userAt, userLen = 44, 32
	loginType       = 7 // USER_PROCESS
)

// native is the layout of this architecture: of those without 32-bit programs, times have 64 bits.
var native = layouts[runtime.GOARCH == "arm64"]

var layouts = map[bool]layout{
	false: {size: 384, seconds: 340, address: 348},
	true:  {size: 400, seconds: 344, address: 360, wide: true},
}

// login is a record.
type login struct {
	user string
	from netip.Addr
	at   time.Time
}

// read reads a record; false: it is none of a login.
func (l layout) read(b []byte) (login, bool) {
	if binary.NativeEndian.Uint16(b) != loginType {
		return login{}, false
	}
	user, _, _ := bytes.Cut(b[userAt:userAt+userLen], []byte{0})
	seconds := int64(int32(binary.NativeEndian.Uint32(b[l.seconds:])))
	if l.wide {
		seconds = int64(binary.NativeEndian.Uint64(b[l.seconds:]))
	}
	var address netip.Addr
	switch a := [16]byte(b[l.address : l.address+16]); {
	case a == [16]byte{}:
	case [12]byte(a[4:]) == [12]byte{}:
		address = netip.AddrFrom4([4]byte(a[:4]))
	default:
		address = netip.AddrFrom16(a).Unmap()
	}
	return login{user: string(user), from: address, at: time.Unix(seconds, 0).UTC()}, true
}

// add takes in the records of a file, from its end.
func (k *Known) add(text []byte, name string, from netip.Addr, before time.Time) {
	for end := len(text); end >= native.size; end -= native.size {
		l, ok := native.read(text[end-native.size : end])
		if !ok || !l.at.Before(before) {
			continue
		}
		if k.Since.IsZero() || l.at.Before(k.Since) {
			k.Since = l.at
		}
		switch {
		case l.from != from || !from.IsValid() || l.user == "":
		case l.user != name:
			if !slices.Contains(k.Others, l.user) && len(k.Others) < othersMost {
				k.Others = append(k.Others, l.user)
			}
		default:
			k.Logins++
			if k.Last.IsZero() {
				k.Last = l.at
			}
			k.First = l.at
		}
	}
}
