// SPDX-License-Identifier: Apache-2.0

// Package sudoers reads what sudo allows whom, from sudoers(5) and the files that it includes. It runs no command and
// changes nothing.
//
// It says what sudo -l -U says of rules: who the users, hosts and commands of a rule are, aliases included, and as whom
// it may be run. Settings (Defaults) are passed over. What it does not know, netgroups and rules of a directory server,
// makes an answer Incomplete, and so does a line that it cannot read: sudo itself passes such a line over, too.
package sudoers

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Bounds of what is read.
const (
	filesMost = 128     // files, with those that are included
	bytesMost = 1 << 20 // of all files together
	depthMost = 16      // of files that include each other, and of aliases that name each other
	stepsMost = 20_000  // comparisons for one answer: aliases that name aliases multiply
	rulesMost = 32      // of an answer
)

// File is where sudo's rules begin.
const File = "/etc/sudoers"

// Policy is what the files say. It is not changed once it is made.
type Policy struct {
	Incomplete bool // a file or line could not be read
	rules      []userSpec
	aliases    map[string]list // the kind of alias and its name, "Cmnd_Alias NAME"
}

// Options say what is read.
type Options struct {
	Root  string // the folder of the host's file system, "/" for this process's own
	Owner uint32 // who must own the files, as sudo wants it: root
	Host  string // the host's name, which stands for %h in the name of an included file
}

// Read reads the host's rules. A host without sudo has none. The error is that of the first file.
func Read(o Options) (*Policy, error) {
	r := reader{o: o, policy: Policy{aliases: map[string]list{}}}
	err := r.file(File, 0)
	if errors.Is(err, os.ErrNotExist) {
		return &r.policy, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", File, err)
	}
	return &r.policy, nil
}

// reader reads a file and those that it includes.
type reader struct {
	o      Options
	policy Policy
	files  int
	bytes  int64
}

var (
	errMany = fmt.Errorf(
		"more than %d files, or %d KiB, or %d files that include each other", filesMost, bytesMost>>10, depthMost)
	errOwner = errors.New("sudo ignores a file that others than root may write to")
)

func (r *reader) file(name string, depth int) error {
	if r.files++; r.files > filesMost || depth > depthMost {
		return errMany
	}
	f, err := os.OpenFile(filepath.Join(r.o.Root, name), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Uid != r.o.Owner || st.Mode&0o002 != 0 ||
		st.Mode&0o020 != 0 && st.Gid != 0 {
		return errOwner
	}
	text, err := io.ReadAll(io.LimitReader(f, bytesMost-r.bytes+1))
	if err != nil {
		return err
	}
	if r.bytes += int64(len(text)); r.bytes > bytesMost {
		return errMany
	}
	for _, line := range lines(string(text)) {
		if included, folder, ok := include(line); ok {
			r.include(name, included, folder, depth)
		} else if err := r.policy.line(line); err != nil {
			r.policy.Incomplete = true
		}
	}
	return nil
}

// include reads a file, or the files of a folder, that a file names.
func (r *reader) include(from, name string, folder bool, depth int) {
	host, _, _ := strings.Cut(r.o.Host, ".")
	name = strings.ReplaceAll(name, "%h", host)
	if !path.IsAbs(name) {
		name = path.Join(path.Dir(from), name)
	}
	if !folder {
		if err := r.file(name, depth+1); err != nil {
			r.policy.Incomplete = true
		}
		return
	}
	entries, err := os.ReadDir(filepath.Join(r.o.Root, name))
	if err != nil {
		r.policy.Incomplete = r.policy.Incomplete || !errors.Is(err, os.ErrNotExist)
		return
	}
	for _, e := range entries { // in the order of their names, as sudo reads them
		if strings.Contains(e.Name(), ".") || strings.HasSuffix(e.Name(), "~") || e.IsDir() {
			continue
		}
		if err := r.file(path.Join(name, e.Name()), depth+1); err != nil {
			r.policy.Incomplete = true
		}
	}
}

// lines are the lines of a text without comments; those that a backslash joins are one.
func lines(text string) (out []string) {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\\\n", "")
	for line := range strings.SplitSeq(text, "\n") {
		if _, _, ok := include(line); !ok {
			line = uncomment(line)
		}
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// uncomment cuts a comment off. A number sign before a digit is a user's or group's id.
func uncomment(line string) string {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case '"':
			quoted = !quoted
		case '#':
			before := byte(' ')
			if i > 0 {
				before = line[i-1]
			}
			id := i+1 < len(line) && (line[i+1] == '-' || line[i+1] >= '0' && line[i+1] <= '9') &&
				strings.IndexByte(" \t,(!:%=", before) >= 0
			if !quoted && !id {
				return line[:i]
			}
		}
	}
	return line
}

// include is the file, or folder of files, that a line includes.
func include(line string) (name string, folder, ok bool) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] != '#' && line[0] != '@' {
		return "", false, false
	}
	word, rest, _ := strings.Cut(strings.ReplaceAll(line[1:], "\t", " "), " ")
	if word != "include" && word != "includedir" {
		return "", false, false
	}
	s := scanner{text: rest}
	name = s.word("")
	return name, word == "includedir", name != ""
}

// item is what a list names.
type item struct {
	not  bool // it is excluded
	name string
}

type list []item

// userSpec is one rule: who may run what where.
type userSpec struct {
	users, hosts list
	commands     []command
}

// command is a command of a rule, with what holds for it.
type command struct {
	item
	runUsers, runGroups list
	runs                bool // the rule says as whom; else it is root
	tags                []string
}

// aliasKinds are the words that begin a definition.
var aliasKinds = map[string]string{
	"User_Alias": users, "Runas_Alias": runas, "Host_Alias": hosts, "Cmnd_Alias": commands, "Cmd_Alias": commands,
}

// The kinds of alias.
const (
	users    = "User_Alias"
	runas    = "Runas_Alias"
	hosts    = "Host_Alias"
	commands = "Cmnd_Alias"
)

// tags are the tags of commands (sudoers(5), Tag_Spec).
var tags = []string{
	"EXEC", "NOEXEC", "FOLLOW", "NOFOLLOW", "INTERCEPT", "NOINTERCEPT", "LOG_INPUT", "NOLOG_INPUT", "LOG_OUTPUT",
	"NOLOG_OUTPUT", "MAIL", "NOMAIL", "PASSWD", "NOPASSWD", "SETENV", "NOSETENV",
}

// options are the options of commands (sudoers(5), Option_Spec), whose values are passed over.
var options = []string{
	"ROLE", "TYPE", "APPARMOR_PROFILE", "PRIVS", "LIMITPRIVS", "CWD", "CHROOT", "TIMEOUT", "NOTBEFORE", "NOTAFTER",
}

var errSyntax = errors.New("not a line of sudoers")

// line reads one line into the policy.
func (p *Policy) line(text string) error {
	s := scanner{text: text}
	first := s.peek()
	switch {
	case isDefaults(first):
		return nil
	case aliasKinds[first] != "":
		s.word("")
		return p.define(aliasKinds[first], &s)
	}
	spec := userSpec{users: s.list("")}
	if len(spec.users) == 0 {
		return errSyntax
	}
	for {
		one := spec
		if one.hosts = s.list("="); len(one.hosts) == 0 || !s.next('=') {
			return errSyntax
		}
		if one.commands = s.commands(); one.commands == nil {
			return errSyntax
		}
		p.rules = append(p.rules, one)
		if !s.next(':') {
			break
		}
	}
	if !s.end() {
		return errSyntax
	}
	return nil
}

// isDefaults says whether a word begins a line of settings, for all or for some.
func isDefaults(word string) bool {
	rest, ok := strings.CutPrefix(word, "Defaults")
	return ok && (rest == "" || strings.IndexByte("@:!>", rest[0]) >= 0)
}

func (p *Policy) define(kind string, s *scanner) error {
	for {
		name := s.word("=")
		if name == "" || !s.next('=') {
			return errSyntax
		}
		var members list
		if kind == commands {
			for _, c := range s.commands() {
				members = append(members, c.item)
			}
		} else {
			members = s.list(":")
		}
		if len(members) == 0 {
			return errSyntax
		}
		p.aliases[kind+" "+name] = members
		if !s.next(':') {
			break
		}
	}
	if !s.end() {
		return errSyntax
	}
	return nil
}

// scanner reads a line word by word.
type scanner struct {
	text string
	at   int
}

func (s *scanner) space() {
	for s.at < len(s.text) && (s.text[s.at] == ' ' || s.text[s.at] == '\t') {
		s.at++
	}
}

func (s *scanner) end() bool {
	s.space()
	return s.at == len(s.text)
}

// next passes a character, if that comes next.
func (s *scanner) next(c byte) bool {
	s.space()
	if s.at == len(s.text) || s.text[s.at] != c {
		return false
	}
	s.at++
	return true
}

// peek is the next word, which stays.
func (s *scanner) peek() string {
	ahead := *s
	return ahead.word("")
}

// word reads up to white space or an unescaped character of stop. Quotes and backslashes go.
func (s *scanner) word(stop string) string {
	s.space()
	var b strings.Builder
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '\\' && s.at+1 < len(s.text):
			s.at++
			b.WriteByte(s.text[s.at])
		case c == '"':
			end := strings.IndexByte(s.text[s.at+1:], '"')
			if end < 0 {
				end = len(s.text) - s.at - 1
			}
			b.WriteString(s.text[s.at+1 : s.at+1+end])
			s.at = min(s.at+1+end, len(s.text)-1)
		case c == ' ' || c == '\t' || strings.IndexByte(stop, c) >= 0:
			return b.String()
		default:
			b.WriteByte(c)
		}
		s.at++
	}
	return b.String()
}

// list reads names that commas part, each excluded by an odd number of exclamation marks.
func (s *scanner) list(stop string) (out list) {
	for {
		var it item
		for s.next('!') {
			it.not = !it.not
		}
		if it.name = s.word("," + stop); it.name == "" {
			return nil
		}
		out = append(out, it)
		if !s.next(',') {
			return out
		}
	}
}

// commands reads commands that commas part, with what stands before them. What holds for one holds for those behind it.
func (s *scanner) commands() (out []command) {
	var now command
	for {
		if s.next('(') {
			now.runs, now.runUsers, now.runGroups = true, nil, nil
			if !s.next(')') {
				now.runUsers = s.list(":)")
				if s.next(':') {
					now.runGroups = s.list(")")
				}
				if !s.next(')') {
					return nil
				}
			}
		}
		now.tags = slices.Clone(now.tags)
		for s.option() || s.tag(&now) {
		}
		now.item = item{}
		for s.next('!') {
			now.not = !now.not
		}
		if now.name = s.command(); now.name == "" {
			return nil
		}
		out = append(out, now)
		if !s.next(',') {
			return out
		}
	}
}

// option passes NAME=VALUE.
func (s *scanner) option() bool {
	ahead := *s
	if !slices.Contains(options, ahead.word("=,:")) || !ahead.next('=') || ahead.word(",:") == "" {
		return false
	}
	*s = ahead
	return true
}

// tag reads NAME: into what holds.
func (s *scanner) tag(c *command) bool {
	ahead := *s
	name := ahead.word(":,=")
	if !slices.Contains(tags, name) || !ahead.next(':') {
		return false
	}
	opposite := "NO" + name
	if bare, ok := strings.CutPrefix(name, "NO"); ok && slices.Contains(tags, bare) {
		opposite = bare
	}
	c.tags = slices.DeleteFunc(c.tags, func(t string) bool { return t == opposite || t == name })
	if strings.HasPrefix(name, "NO") || name != "PASSWD" && name != "EXEC" {
		c.tags = append(c.tags, name)
	}
	*s = ahead
	return true
}

// command reads a command with its arguments and checksums, as it stands.
func (s *scanner) command() string {
	s.space()
	start := s.at
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '\\' && s.at+1 < len(s.text):
			s.at++
		case c == '^' && (s.at == start || s.text[s.at-1] == ' '): // a regular expression, up to its $
			if end := strings.IndexByte(s.text[s.at:], '$'); end > 0 {
				s.at += end
			}
		case c == ':' && isDigest(strings.TrimSpace(s.text[start:s.at])):
		case c == ',' || c == ':':
			return strings.TrimSpace(s.text[start:s.at])
		}
		s.at++
	}
	return strings.TrimSpace(s.text[start:s.at])
}

func isDigest(s string) bool { return s == "sha224" || s == "sha256" || s == "sha384" || s == "sha512" }
