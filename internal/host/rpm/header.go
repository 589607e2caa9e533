// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// The tags of a header that are read, and the types of their values (rpmtag.h).
const (
	tagName        = 1000
	tagVersion     = 1001
	tagRelease     = 1002
	tagEpoch       = 1003
	tagFileStates  = 1029
	tagDigests     = 1035
	tagDirIndexes  = 1116
	tagBasenames   = 1117
	tagDirNames    = 1118
	tagDigestAlgo  = 5011
	typeChar       = 1
	typeInt32      = 4
	typeString     = 6
	typeStringList = 8
)

// The kinds of checksums (RFC 4880) that are read, and the state of a file that is there.
const (
	algoMD5    = 1
	algoSHA256 = 8
	stateThere = 0
)

// header is a package's, as the database keeps it (rpm's manual, "Header Structure", without the 8 bytes of its magic):
// two lengths, an index of 16 bytes an entry, and the data.
type header struct {
	index, data []byte
}

func parseHeader(b []byte) (header, error) {
	if len(b) < 8 {
		return header{}, fmt.Errorf("%w: a header of %d bytes", errMalformed, len(b))
	}
	entries, size := uint64(binary.BigEndian.Uint32(b)), uint64(binary.BigEndian.Uint32(b[4:]))
	if 8+16*entries+size > uint64(len(b)) {
		return header{}, fmt.Errorf("%w: a header of %d entries and %d bytes of data in %d bytes", errMalformed, entries,
			size, len(b))
	}
	return header{b[8 : 8+16*entries], b[8+16*entries : 8+16*entries+size]}, nil
}

// find returns what stands from the beginning of a tag's values on, and how many there are; 0: none of the type.
func (h header) find(tag, kind uint32) (data []byte, count int) {
	for i := 0; i+16 <= len(h.index); i += 16 {
		entry := h.index[i : i+16]
		if binary.BigEndian.Uint32(entry) != tag || binary.BigEndian.Uint32(entry[4:]) != kind {
			continue
		}
		at, n := uint64(binary.BigEndian.Uint32(entry[8:])), uint64(binary.BigEndian.Uint32(entry[12:]))
		if at > uint64(len(h.data)) || n > uint64(len(h.data)) {
			return nil, 0
		}
		return h.data[at:], int(n)
	}
	return nil, 0
}

// text is the tag's text.
func (h header) text(tag uint32) string {
	data, count := h.find(tag, typeString)
	if count == 0 {
		return ""
	}
	s, _, _ := bytes.Cut(data, []byte{0})
	return string(s)
}

// number is one of a tag's numbers.
func (h header) number(tag uint32, i int) (uint32, bool) {
	data, count := h.find(tag, typeInt32)
	if i >= count || len(data) < 4*(i+1) {
		return 0, false
	}
	return binary.BigEndian.Uint32(data[4*i:]), true
}

// textAt is one of a tag's texts.
func (h header) textAt(tag uint32, i int) (string, bool) {
	data, count := h.find(tag, typeStringList)
	for ; i < count; i-- {
		s, rest, ok := bytes.Cut(data, []byte{0})
		if !ok {
			return "", false
		}
		if i == 0 {
			return string(s), true
		}
		data = rest
	}
	return "", false
}

// version is what rpm calls EVR.
func (h header) version() string {
	v := h.text(tagVersion) + "-" + h.text(tagRelease)
	if epoch, ok := h.number(tagEpoch, 0); ok {
		v = fmt.Sprintf("%d:%s", epoch, v)
	}
	return v
}

// ownerIn returns the package of a header, where a file of a name in a folder is its own and was installed.
func ownerIn(blob []byte, name string, folder func(string) bool) (Owner, bool, error) {
	h, err := parseHeader(blob)
	if err != nil {
		return Owner{}, false, err
	}
	bases, count := h.find(tagBasenames, typeStringList)
	for i := range count {
		base, rest, ok := bytes.Cut(bases, []byte{0})
		if !ok {
			return Owner{}, false, fmt.Errorf("%w: %d of %d names of files", errMalformed, i, count)
		}
		if bases = rest; string(base) != name {
			continue
		}
		dir, _ := h.number(tagDirIndexes, i)
		path, ok := h.textAt(tagDirNames, int(dir))
		if !ok || !folder(path) || !h.there(i) {
			continue
		}
		o := Owner{Package: h.text(tagName), Version: h.version()}
		o.Sum, o.MD5 = h.sum(i)
		return o, o.Package != "", nil
	}
	return Owner{}, false, nil
}

// there reports whether a file of the package was installed, and not replaced by another package's.
func (h header) there(i int) bool {
	states, count := h.find(tagFileStates, typeChar)
	return i >= count || i >= len(states) || states[i] == stateThere
}

// sum is the checksum of a file of the package.
func (h header) sum(i int) (sum string, md5 bool) {
	algo, ok := h.number(tagDigestAlgo, 0)
	if !ok {
		algo = algoMD5
	}
	text, _ := h.textAt(tagDigests, i)
	b, err := hex.DecodeString(text)
	switch {
	case err != nil:
		return "", false
	case algo == algoMD5 && len(b) == 16:
		return hex.EncodeToString(b), true
	case algo == algoSHA256 && len(b) == 32:
		return hex.EncodeToString(b), false
	}
	return "", false
}
