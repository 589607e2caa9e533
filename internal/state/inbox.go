// SPDX-License-Identifier: Apache-2.0

package state

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	inboxVersion = 1
	inboxSuffix  = ".message"
)

var inboxKind = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

// WriteInbox leaves a message for the Beat that keeps its state in dir, whether it runs or not: it is read at the
// Beat's next start, or while it runs, within its interval. The message is complete and on disk when WriteInbox returns
// nil. kind is a word of a-z, 0-9 and _.
func WriteInbox(dir, kind string, payload []byte) error {
	if !inboxKind.MatchString(kind) {
		return fmt.Errorf("writing to the inbox: invalid kind %q (want letters a-z, digits and _)", kind)
	}
	if len(payload) > frameMax-128 {
		return fmt.Errorf("writing to the inbox: %d bytes are more than %d", len(payload), frameMax-128)
	}
	box := filepath.Join(dir, "inbox")
	if err := os.MkdirAll(box, 0o700); err != nil {
		return fmt.Errorf("writing to the inbox: %w", err)
	}
	// Names sort in the order of writing; the random part keeps two writers of the same moment apart.
	name := fmt.Sprintf("%020d-%s-%s%s", time.Now().UnixNano(), strings.ToLower(rand.Text()[:8]), kind, inboxSuffix)
	return writeFile(filepath.Join(box, name), frame("message", inboxVersion, payload), payload)
}

// Message is what another process has left for the Beat.
type Message struct {
	Kind    string
	Payload []byte
	Written time.Time
}

// Waiting returns the messages that the Beat that keeps its state in dir has not yet taken, in the order of writing.
// What is not a message is left out.
func Waiting(dir string) ([]Message, error) {
	box := filepath.Join(dir, "inbox")
	files, err := os.ReadDir(box) // sorted by name
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the inbox: %w", err)
	}
	var messages []Message
	for _, f := range files {
		kind, ok := messageKind(f.Name())
		if !ok || !inboxKind.MatchString(kind) {
			continue
		}
		payload, err := readFramed(filepath.Join(box, f.Name()), "message", inboxVersion)
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("reading the inbox: %w", err)
		}
		if err != nil {
			continue // taken meanwhile, or no message: the Beat sets it aside
		}
		messages = append(messages, Message{kind, payload, messageTime(f.Name())})
	}
	return messages, nil
}

// messageTime is when a message was written, as its file's name says.
func messageTime(file string) time.Time {
	stamp, _, _ := strings.Cut(file, "-")
	nanos, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(0, nanos)
}

// messageKind is what a file's name says of the message in it; false where the file is being written, or was set aside.
func messageKind(file string) (string, bool) {
	name, ok := strings.CutSuffix(file, inboxSuffix)
	return name[strings.LastIndexByte(name, '-')+1:], ok
}

// Inbox hands each message to handle, in the order of writing, and removes it once handle returned nil. It stops at
// handle's first error, which it returns; that message stays for the next call. A crash between handle and removal
// hands it over again, so handle must bear repetition. What is not a message is set aside and does not stop the others.
func (s *Store) Inbox(handle func(kind string, payload []byte) error) error {
	box := filepath.Join(s.dir, "inbox")
	files, err := os.ReadDir(box) // sorted by name
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the inbox: %w", err)
	}
	for _, f := range files {
		path := filepath.Join(box, f.Name())
		kind, ok := messageKind(f.Name())
		if !ok {
			continue
		}
		payload, err := readFramed(path, "message", inboxVersion)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && !inboxKind.MatchString(kind) {
			err = fmt.Errorf("%s names no kind", path)
		}
		if err != nil {
			s.setAside(path, filepath.Join(box, "*"), "inbox", err)
			continue
		}
		if err := handle(kind, payload); err != nil {
			return fmt.Errorf("handling the message %s of the inbox: %w", f.Name(), err)
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("removing a message of the inbox that was handled: %w", err)
		}
	}
	return nil
}
