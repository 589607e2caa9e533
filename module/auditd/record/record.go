// SPDX-License-Identifier: Apache-2.0

// Package record is the language of the Linux audit system: records as the kernel's socket sends them and as auditd
// writes them to its log.
//
// One event, say an exec, is several records with the same sequence number: SYSCALL, EXECVE (more than one when the
// arguments are long), CWD, PATH, PROCTITLE. Records of different events interleave. An Assembler puts them together
// again and hands on what reconbeat is interested in: execs that succeeded, the beginnings and ends of login sessions,
// and changes of audit itself.
//
// A record is text, `key=value` after `audit(SECONDS.MILLIS:SEQUENCE):`. A value that a user had a hand in stands in
// double quotes, or in hexadecimal when it holds a quote, a blank or anything unprintable. auditd's enriched format
// adds, behind a group separator (0x1d), the ids resolved to names.
//
// Nothing here allocates once its memory is warm: a busy host writes thousands of records a second, of which nearly
// none matter.
package record

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/elastic/go-libaudit/v2/auparse"
	"golang.org/x/sys/unix"
)

// The types of record that package unix has no name for: programs write them.
const (
	userStart  = uint16(auparse.AUDIT_USER_START)
	userEnd    = uint16(auparse.AUDIT_USER_END)
	userLogin  = uint16(auparse.AUDIT_USER_LOGIN)
	userLogout = uint16(auparse.AUDIT_USER_LOGOUT)

	userAuth      = uint16(auparse.AUDIT_USER_AUTH)
	userAcct      = uint16(auparse.AUDIT_USER_ACCT)
	userMgmt      = uint16(auparse.AUDIT_USER_MGMT)
	userChauthtok = uint16(auparse.AUDIT_USER_CHAUTHTOK)
	addUser       = uint16(auparse.AUDIT_ADD_USER)
	delUser       = uint16(auparse.AUDIT_DEL_USER)
	grpMgmt       = uint16(auparse.AUDIT_GRP_MGMT)
	acctLock      = uint16(auparse.AUDIT_ACCT_LOCK)
	acctUnlock    = uint16(auparse.AUDIT_ACCT_UNLOCK)
)

// typeOf returns the number of a type's name; 0 for those that nothing is read from.
func typeOf(name []byte) uint16 {
	switch string(name) {
	case "SYSCALL":
		return unix.AUDIT_SYSCALL
	case "EXECVE":
		return unix.AUDIT_EXECVE
	case "CWD":
		return unix.AUDIT_CWD
	case "PATH":
		return unix.AUDIT_PATH
	case "PROCTITLE":
		return unix.AUDIT_PROCTITLE
	case "EOE":
		return unix.AUDIT_EOE
	case "LOGIN":
		return unix.AUDIT_LOGIN
	case "USER_LOGIN":
		return userLogin
	case "USER_LOGOUT":
		return userLogout
	case "USER_START":
		return userStart
	case "USER_END":
		return userEnd
	case "USER_AUTH":
		return userAuth
	case "USER_ACCT":
		return userAcct
	case "USER_MGMT":
		return userMgmt
	case "USER_CHAUTHTOK":
		return userChauthtok
	case "ADD_USER":
		return addUser
	case "DEL_USER":
		return delUser
	case "GRP_MGMT":
		return grpMgmt
	case "ACCT_LOCK":
		return acctLock
	case "ACCT_UNLOCK":
		return acctUnlock
	case "CONFIG_CHANGE":
		return unix.AUDIT_CONFIG_CHANGE
	case "FEATURE_CHANGE":
		return unix.AUDIT_FEATURE_CHANGE
	case "DAEMON_START":
		return unix.AUDIT_DAEMON_START
	case "DAEMON_END":
		return unix.AUDIT_DAEMON_END
	case "DAEMON_ABORT":
		return unix.AUDIT_DAEMON_ABORT
	}
	if inner, ok := bytes.CutPrefix(name, []byte("UNKNOWN[")); ok { // what an older auditd has no name for
		name = bytes.TrimSuffix(inner, []byte("]"))
	}
	if n, ok := number(name); ok && n < 1<<16 { // as the kernel's own log has it
		return uint16(n)
	}
	if bytes.ContainsFunc(name, isLower) { // as programs write it that have the log in lower case
		return typeOf(bytes.ToUpper(name))
	}
	return 0
}

// isLower reports a letter of ASCII that has an upper case. Others have letters without one.
func isLower(r rune) bool { return 'a' <= r && r <= 'z' }

// Why a line is not a record. Each of the special ones is an ErrNoRecord, too, and says how to get records instead.
var (
	ErrNoRecord    = errors.New("this is not an audit record")
	errInterpreted = fmt.Errorf("%w, but what ausearch -i makes of one: write records with ausearch --raw", ErrNoRecord)
	errJournal     = fmt.Errorf("%w, but what journalctl prints of one, which lacks the event's number: %s", ErrNoRecord,
		"journalctl _TRANSPORT=audit -o json | reconbeat replay -")
)

// errNoHeader says that a record does not say when it was made, or of which event it is.
var errNoHeader = errors.New("its time and number cannot be read (want audit(SECONDS.MILLISECONDS:NUMBER))")

// noHeader says why a record's time and number cannot be read.
func noHeader(body []byte) error {
	if at, _, ok := bytes.Cut(body, []byte(")")); ok && bytes.ContainsAny(at, "/ ") { // a date, as the locale has it
		return errInterpreted
	}
	return errNoHeader
}

// ParseLine splits a line of audit.log, with or without `msg=` within. What a syslog daemon, the journal, the kernel's
// log or grep has put before the record is cut off, and a JSON document that carries one is unwrapped. node is the host
// that `node=` names, or else the syslog header or the document; nil: none does. The type is 0 for one that nothing is
// known of. The body has what else stands on the line, further records too. The results share the line's memory, or
// that of what it carries.
func ParseLine(line []byte) (typ uint16, body, node []byte, err error) {
	line = bytes.TrimRight(line, "\r\n")
	if bytes.IndexByte(line, 0x1b) >= 0 {
		line = colours.ReplaceAll(line, nil)
	}
	if doc, ok := wrapping(line); ok {
		return parseCarried(doc)
	}
	if rest, ok := bytes.CutPrefix(line, nodeMark); ok {
		node, line, ok = bytes.Cut(rest, []byte(" "))
		if !ok {
			return 0, nil, nil, ErrNoRecord
		}
	}
	if typ, body, ok := parse(line); ok {
		return typ, restored(body, false), node, nil
	}
	if typ, body, node, ok := parseNodeWithin(line); ok {
		return typ, restored(body, false), node, nil
	}
	if typ, body, node, ok := parseBehindHeader(line); ok {
		return typ, body, node, nil
	}
	return parseBehind(line)
}

// parseNodeWithin splits a record that names its node behind its type.
func parseNodeWithin(line []byte) (typ uint16, body, node []byte, ok bool) {
	rest, ok := bytes.CutPrefix(line, typeMark)
	if !ok {
		return 0, nil, nil, false
	}
	name, rest, _ := bytes.Cut(rest, []byte(" "))
	rest, ok = bytes.CutPrefix(rest, nodeMark)
	if !ok {
		return 0, nil, nil, false
	}
	node, body, _ = bytes.Cut(rest, []byte(" "))
	body = bytes.TrimPrefix(body, []byte("msg="))
	return typeOf(name), body, node, bytes.HasPrefix(body, []byte("audit("))
}

var (
	nodeMark = []byte("node=")
	typeMark = []byte("type=")
)

// parse splits a record that begins the line.
func parse(line []byte) (typ uint16, body []byte, ok bool) {
	rest, ok := bytes.CutPrefix(line, typeMark)
	if !ok {
		return 0, nil, false
	}
	name, body, ok := bytes.Cut(rest, []byte(" "))
	if !ok {
		return 0, nil, false
	}
	if bytes.IndexByte(name, '=') >= 0 { // hardly ever
		if i := bytes.LastIndex(name, typeMark); i >= 0 { // what stood before it was torn off
			name = name[i+len(typeMark):]
		}
	}
	body = bytes.TrimPrefix(body, []byte("msg="))
	return typeOf(name), body, bytes.HasPrefix(body, []byte("audit("))
}

// parseBehind finds the record in a line that has something else before it.
func parseBehind(line []byte) (typ uint16, body, node []byte, err error) {
	for at := 0; ; {
		i := bytes.Index(line[at:], typeMark)
		if i < 0 {
			break
		}
		before := line[:at+i]
		typ, body, ok := parse(line[at+i:])
		if at += i + len(typeMark); !ok || len(before) == 0 {
			continue
		}
		body = restored(body, before[len(before)-1] == '"')
		if i := bytes.LastIndex(before, nodeMark); i >= 0 {
			named := bytes.TrimRight(before[i+len(nodeMark):], " ")
			if len(named) > 0 && bytes.IndexByte(named, ' ') < 0 {
				return typ, body, named, nil
			}
		}
		if named := hashedHost(before, line); named != nil {
			return typ, body, named, nil
		}
		return typ, body, namedBefore(before), nil
	}
	if isJournal(line) {
		return 0, nil, nil, errJournal
	}
	return 0, nil, nil, ErrNoRecord
}

// isSeparator says whether a line only parts events or pages: those of ausearch, of journalctl, and empty ones.
func isSeparator(line []byte) bool {
	line = bytes.TrimSpace(line)
	return len(line) == 0 || string(line) == "----" || bytes.HasPrefix(line, []byte("time->")) ||
		bytes.HasPrefix(line, []byte("-- ")) && bytes.HasSuffix(line, []byte(" --"))
}

// isJournal says whether a line is one of audit's as journalctl prints it: its type, and neither time nor number.
func isJournal(line []byte) bool {
	if name, rest, ok := bytes.Cut(line, []byte(" ")); ok && len(name) > 2 && name[0] >= 'A' && typeOf(name) != 0 &&
		bytes.IndexByte(rest, '=') > 0 { // without a header, as -o cat prints it
		return true
	}
	_, rest, ok := bytes.Cut(line, []byte(" audit"))
	if !ok {
		return false
	}
	if pid, behind, ok := bytes.Cut(rest, []byte("]")); ok && len(pid) > 0 && pid[0] == '[' {
		rest = behind
	}
	name, _, ok := bytes.Cut(bytes.TrimPrefix(rest, []byte(": ")), []byte(" "))
	return ok && len(name) > 2 && len(name) < len(rest)-2 && bytes.Equal(name, bytes.ToUpper(name)) &&
		bytes.IndexByte(name, '=') < 0
}

// labelledHost is the host among the labels that Loki's logcli prints before a line, as {job="audit", host="web1"};
// nil: there is none.
func labelledHost(head []byte) []byte {
	_, labels, ok := bytes.Cut(head, []byte("{"))
	if !ok {
		return nil
	}
	for _, name := range []string{"host", "hostname", "nodename", "node_name", "instance"} {
		before, value, ok := bytes.Cut(labels, []byte(name+`="`))
		if !ok || len(before) > 0 && before[len(before)-1] != ' ' && before[len(before)-1] != ',' {
			continue
		}
		if end := bytes.IndexByte(value, '"'); end > 0 {
			return value[:end]
		}
	}
	return nil
}

// hashedHost is the host in what Fluent Bit prints of an object with a record, {"log"=>"...", "host"=>"web1"}; nil:
// there is none. before is what stands before the record.
func hashedHost(before, line []byte) []byte {
	if !bytes.HasSuffix(before, []byte(`=>"`)) {
		return nil
	}
	for _, mark := range []string{`"host"=>"`, `"hostname"=>"`} {
		if _, name, ok := bytes.Cut(line, []byte(mark)); ok {
			name, _, _ = bytes.Cut(name, []byte(`"`))
			return name
		}
	}
	return nil
}

// namedBefore is the host that is named before a record or a document; nil: there is none.
func namedBefore(head []byte) []byte {
	if named := labelledHost(head); named != nil {
		return named
	}
	if named := shellsHost(head); named != nil {
		return named
	}
	return syslogHost(head)
}

// shellsHost is the host that a shell for many hosts (pdsh, clush) prints before each line, as "web1: "; nil: there is
// none. A program, a tag or a number stands there, too.
func shellsHost(head []byte) []byte {
	name, ok := bytes.CutSuffix(head, []byte(": "))
	if _, isNumber := decimal(name); !ok || isNumber || !isHost(name) || bytes.HasSuffix(name, []byte(":")) ||
		bytes.IndexByte(name, '_') >= 0 {
		return nil
	}
	for _, other := range []string{"audi", "kernel", "log", "message", "msg", "line", "stdout", "stderr", "MESSAGE"} {
		if bytes.Contains(name, []byte(other)) {
			return nil
		}
	}
	return name
}

// isHost says whether a word may be the name or address of a host.
func isHost(word []byte) bool {
	for _, c := range word {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && c != '.' && c != '_' && c != ':' {
			return false
		}
	}
	return len(word) > 0 && len(word) <= 255
}

// syslogHost is the host in a syslog header, of RFC 3164 or 5424 or with the times of rsyslog; nil: there is none.
func syslogHost(head []byte) []byte {
	if count, _, ok := bytes.Cut(head, []byte(" <")); ok { // RFC 6587 counts the bytes of a message
		if _, ok := decimal(count); ok {
			head = head[len(count)+1:]
		}
	}
	if len(head) > 2 && head[0] == '<' {
		if _, behind, ok := bytes.Cut(head, []byte(">")); ok {
			head = bytes.TrimPrefix(behind, []byte("1 "))
		}
	}
	word := func() (w []byte) {
		head = bytes.TrimLeft(head, " \t")
		end := bytes.IndexAny(head, " \t")
		if end < 0 {
			end = len(head)
		}
		w, head = head[:end], head[end:]
		return w
	}
	first := word()
	if len(first) == 3 && isDay(first) { // as journalctl -o short-full has it
		first = word()
	}
	wazuh := isYear(first)
	if wazuh {
		first = word()
	}
	bare := false // nothing but the host stands behind the time
	switch {
	case len(first) == 3 && isMonth(first):
		word() // day
		at := word()
		if len(at) == 4 { // with the year
			at = word()
		}
		if bytes.Count(at, []byte(":")) != 2 {
			return nil
		}
	case len(first) >= len("2006-01-02T15:04:05") && first[4] == '-' && first[10] == 'T':
		bare = true
	case len(first) == len("2006-01-02") && first[4] == '-' && first[7] == '-':
		if at := word(); bytes.Count(at, []byte(":")) != 2 {
			return nil
		}
	default:
		return nil
	}
	host := word()
	if wazuh { // (web1) any->/var/log/audit/audit.log, or of the manager itself web1->/var/log/audit/audit.log
		host, _, _ = bytes.Cut(host, []byte("->"))
		host, bare = bytes.TrimSuffix(bytes.TrimPrefix(host, []byte("(")), []byte(")")), true
	}
	if string(host) == "UTC" || string(host) == "GMT" {
		host, bare = word(), false
	}
	host = logstashs(host)
	if !isHost(host) || len(bytes.TrimSpace(head)) == 0 && !bare || string(host) == "-" ||
		string(host) == "stdout" || string(host) == "stderr" {
		return nil
	}
	if host[len(host)-1] == ':' { // the program, where no host is named
		return nil
	}
	return host
}

// logstashs is the name in what Logstash prints of an object host: {name=web1} or {"name":"web1"}.
func logstashs(host []byte) []byte {
	inner, ok := bytes.CutPrefix(host, []byte("{"))
	if !ok {
		return host
	}
	for _, mark := range []string{"name=", `"name":"`} {
		if _, name, ok := bytes.Cut(inner, []byte(mark)); ok {
			if end := bytes.IndexAny(name, `,"}`); end >= 0 {
				return name[:end]
			}
		}
	}
	return nil
}

// isYear says whether a time begins with its year, as in the archives of Wazuh and OSSEC.
func isYear(b []byte) bool {
	_, err := time.Parse("2006", string(b))
	return err == nil
}

func isDay(b []byte) bool {
	_, err := time.Parse("Mon", string(b))
	return err == nil
}

func isMonth(b []byte) bool {
	_, err := time.Parse("Jan", string(b))
	return err == nil
}

// Time is when the record on a line was made, in nanoseconds since 1970; false for what is not a record.
func Time(line []byte) (int64, bool) {
	_, body, _, err := ParseLine(line)
	if err != nil {
		return 0, false
	}
	millis, _, _, ok := header(body)
	return millis * int64(time.Millisecond), ok
}

// Recognises reports whether a line is a record, or what some program makes of one.
func Recognises(line []byte) bool {
	_, body, _, err := ParseLine(line)
	return err == nil && len(body) > 0 || errors.Is(err, errJournal)
}

// header reads `audit(SECONDS.MILLIS:SEQUENCE): ` and returns what follows.
func header(body []byte) (millis int64, seq uint64, rest []byte, ok bool) {
	b, ok := bytes.CutPrefix(body, []byte("audit("))
	if !ok {
		return 0, 0, nil, false
	}
	sec, b, ok := digits(b, '.')
	if !ok || sec > 1<<40 {
		return 0, 0, nil, false
	}
	ms, b, ok := digits(b, ':')
	if !ok || ms > 999 {
		return 0, 0, nil, false
	}
	seq, b, ok = digits(b, ')')
	if !ok {
		return 0, 0, nil, false
	}
	b = bytes.TrimPrefix(b, []byte(":"))
	return int64(sec)*1000 + int64(ms), seq, bytes.TrimPrefix(b, []byte(" ")), true // bounded above
}

// digits reads a decimal number that ends with end.
func digits(b []byte, end byte) (n uint64, rest []byte, ok bool) {
	for i, c := range b {
		switch {
		case c == end && i > 0:
			return n, b[i+1:], true
		case c < '0' || c > '9' || n > 1<<60:
			return 0, nil, false
		}
		n = n*10 + uint64(c-'0')
	}
	return 0, nil, false
}

// escapedMark is the group separator (0x1d) as rsyslog writes it.
var escapedMark = []byte("#035")

// endsValue are the bytes that a value without quotes ends at; # where it begins escapedMark.
var endsValue = [256]bool{' ': true, 0x1d: true, '\'': true, '#': true}

// next cuts the first `key=value` off b. Words without a value are passed over. The value is as it stands, with its
// quotes. ok is false at the end.
func next(b []byte) (key, value, rest []byte, ok bool) {
	for {
		b = bytes.TrimPrefix(bytes.TrimLeft(b, " \x1d,'"), escapedMark)
		eq := bytes.IndexByte(b, '=')
		if eq < 0 {
			return nil, nil, nil, false
		}
		key = b[:eq]
		if i := bytes.LastIndexAny(key, " \x1d'"); i >= 0 {
			key = key[i+1:]
		}
		b = b[eq+1:]
		if len(b) > 0 && b[0] == '\'' {
			continue // msg='op=... : what is inside are pairs, too
		}
		end := len(b)
		if end > 0 && b[0] == '"' {
			end = bytes.IndexByte(b[1:], '"')
			if end < 0 {
				return key, b, nil, true // torn
			}
			end += 2
		} else {
			for i, c := range b {
				if endsValue[c] && (c != '#' || bytes.HasPrefix(b[i:], escapedMark)) {
					end = i
					break
				}
			}
		}
		return key, b[:end], b[end:], true
	}
}

// number is a value as an unsigned 32-bit number; false for what is none. Ids that are negative are unset ones, as old
// kernels wrote them.
func number(v []byte) (uint32, bool) {
	if len(v) > 0 && v[0] == '-' {
		return 1<<32 - 1, true
	}
	if len(v) == 0 || len(v) > 10 {
		return 0, false
	}
	n := uint64(0)
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return uint32(n), n < 1<<32
}

// decimal is a value as an unsigned number of 64 bits; false for what is none.
func decimal(v []byte) (n uint64, ok bool) {
	if len(v) == 0 || len(v) > 20 {
		return 0, false
	}
	for _, c := range v {
		if c < '0' || c > '9' || n > (1<<64-1-uint64(c-'0'))/10 {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

// device is the value MAJOR:MINOR, both hexadecimal, as stat(2) gives a device; 0 for what is none.
func device(v []byte) uint64 {
	major, minor, ok := bytes.Cut(v, []byte(":"))
	if !ok {
		return 0
	}
	hi, ok1 := hexadecimal(major)
	lo, ok2 := hexadecimal(minor)
	if !ok1 || !ok2 {
		return 0
	}
	return uint64(hi&0xfff)<<8 | uint64(hi&^0xfff)<<32 | uint64(lo&0xff) | uint64(lo&^0xff)<<12
}

func hexadecimal(v []byte) (n uint32, ok bool) {
	if len(v) == 0 || len(v) > 8 {
		return 0, false
	}
	for _, c := range v {
		d := nibble(c)
		if d > 15 {
			return 0, false
		}
		n = n<<4 | uint32(d)
	}
	return n, true
}

// text decodes a value that a user had a hand in, appending it to into: quoted, hexadecimal, or the kernel's (null) and
// (none), which are empty.
func text(v, into []byte) []byte {
	if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
		return append(into, v[1:len(v)-1]...)
	}
	if len(v) > 0 && v[0] == '"' {
		return append(into, v[1:]...) // torn
	}
	if string(v) == "(null)" || string(v) == "(none)" || string(v) == "?" {
		return into
	}
	start := len(into)
	for i := 0; i+1 < len(v); i += 2 {
		hi, lo := nibble(v[i]), nibble(v[i+1])
		if hi > 15 || lo > 15 {
			return append(into[:start], v...)
		}
		into = append(into, hi<<4|lo)
	}
	if len(v)%2 == 1 {
		return append(into[:start], v...)
	}
	return into
}

func nibble(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}
