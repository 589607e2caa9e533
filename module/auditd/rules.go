// SPDX-License-Identifier: Apache-2.0

package auditd

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strconv"

	"github.com/elastic/go-libaudit/v2/rule"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/module/auditd/record"
)

// Key marks our rules, and nobody else's.
const Key = "reconbeat"

// goarch is the machine that the rules are for.
const goarch = runtime.GOARCH

// ownRule returns our rule for one ABI in the kernel's format:
//
//	-a always,exit -F arch=b64 -F success=1 -F pid!=PID -S execve -S execveat -k reconbeat
//
// success=1 because a shell or execvp that walks PATH fails several times for each program that starts.
func ownRule(a record.ABI, pid uint32) ([]byte, error) {
	r := &rule.SyscallRule{
		Type: rule.AppendSyscallRuleType, List: "exit", Action: "always",
		Filters: []rule.FilterSpec{
			{Type: rule.ValueFilterType, LHS: "arch", Comparator: "=", RHS: a.Name},
			{Type: rule.ValueFilterType, LHS: "success", Comparator: "=", RHS: "1"},
			{Type: rule.ValueFilterType, LHS: "pid", Comparator: "!=", RHS: strconv.FormatUint(uint64(pid), 10)},
		},
		Syscalls: []string{strconv.FormatUint(uint64(a.Execve), 10), strconv.FormatUint(uint64(a.Execveat), 10)},
		Keys:     []string{Key},
	}
	wire, err := rule.Build(r)
	if err != nil {
		return nil, fmt.Errorf("building the %s rule: %w", a.Name, err)
	}
	return wire, nil
}

// loadedRule is a rule that the kernel listed: struct audit_rule_data of linux/audit.h.
type loadedRule struct {
	wire   []byte // as listed; what DEL_RULE wants back
	list   uint32 // AUDIT_FILTER_*
	action uint32 // AUDIT_ALWAYS or AUDIT_NEVER
	mask   [unix.AUDIT_BITMASK_SIZE]uint32
	fields []ruleField
}

type ruleField struct {
	id, op, value uint32
	text          string // of the fields that have one
}

const (
	maxRuleFields = 64
	ruleHeader    = 4 * (3 + unix.AUDIT_BITMASK_SIZE + 3*maxRuleFields + 1)
)

// parseRule reads a rule as the kernel lists it.
func parseRule(wire []byte) (loadedRule, error) {
	r := loadedRule{wire: wire}
	if len(wire) < ruleHeader {
		return r, fmt.Errorf("an audit rule of %d bytes is too short", len(wire))
	}
	word := func(i int) uint32 { return binary.NativeEndian.Uint32(wire[4*i:]) }
	r.list, r.action = word(0)&^unix.AUDIT_FILTER_PREPEND, word(1)
	count := int(word(2))
	if count > maxRuleFields {
		return r, fmt.Errorf("an audit rule with %d fields has too many", count)
	}
	for i := range r.mask {
		r.mask[i] = word(3 + i)
	}
	const ids, values, ops = 3 + unix.AUDIT_BITMASK_SIZE, 3 + unix.AUDIT_BITMASK_SIZE +
		maxRuleFields, 3 + unix.AUDIT_BITMASK_SIZE + 2*maxRuleFields
	text := wire[ruleHeader:]
	for i := range count {
		f := ruleField{id: word(ids + i), value: word(values + i), op: word(ops + i)}
		if hasText(f.id) {
			if uint64(f.value) > uint64(len(text)) {
				return r, fmt.Errorf("field %d of an audit rule is longer than the rule", f.id)
			}
			f.text, text = string(text[:f.value]), text[f.value:]
		}
		r.fields = append(r.fields, f)
	}
	return r, nil
}

// hasText says whether the value of a field is the length of a string behind the rule.
func hasText(id uint32) bool {
	switch id {
	case unix.AUDIT_SUBJ_USER, unix.AUDIT_SUBJ_ROLE, unix.AUDIT_SUBJ_TYPE, unix.AUDIT_SUBJ_SEN, unix.AUDIT_SUBJ_CLR,
		unix.AUDIT_OBJ_USER, unix.AUDIT_OBJ_ROLE, unix.AUDIT_OBJ_TYPE, unix.AUDIT_OBJ_LEV_LOW, unix.AUDIT_OBJ_LEV_HIGH,
		unix.AUDIT_WATCH, unix.AUDIT_DIR, unix.AUDIT_FILTERKEY, unix.AUDIT_EXE:
		return true
	}
	return false
}

// own says whether the rule is one of ours, of this process or of one that was killed.
func (r loadedRule) own() bool {
	return slices.ContainsFunc(r.fields, func(f ruleField) bool {
		return f.id == unix.AUDIT_FILTERKEY && f.text == Key
	})
}

// excludedPID returns the pid that the rule leaves out (-F pid!=), 0 when none: in our rules, the process that added
// them.
func (r loadedRule) excludedPID() uint32 {
	for _, f := range r.fields {
		if f.id == unix.AUDIT_PID && f.op == unix.AUDIT_NOT_EQUAL {
			return f.value
		}
	}
	return 0
}

// names says whether the rule speaks of a syscall of an ABI.
func (r loadedRule) names(a record.ABI, syscall uint32) bool {
	for _, f := range r.fields {
		if f.id == unix.AUDIT_ARCH && (f.value == a.Arch) != (f.op == unix.AUDIT_EQUAL) {
			return false
		}
	}
	return r.mask[syscall/32]&(1<<(syscall%32)) != 0
}

// reportsExecs says whether the rule alone reports every exec that succeeds through an ABI.
func (r loadedRule) reportsExecs(a record.ABI) bool {
	if r.list != unix.AUDIT_FILTER_EXIT || r.action != unix.AUDIT_ALWAYS || !r.names(a, a.Execve) ||
		!r.names(a, a.Execveat) {
		return false
	}
	for _, f := range r.fields {
		switch {
		case f.id == unix.AUDIT_ARCH, f.id == unix.AUDIT_FILTERKEY:
		case f.id == unix.AUDIT_SUCCESS && f.op == unix.AUDIT_EQUAL && f.value == 1:
		case f.id == unix.AUDIT_PID && f.op == unix.AUDIT_NOT_EQUAL:
		default:
			return false
		}
	}
	return true
}

// hidesExecs says whether the rule keeps some execs from the rules behind it.
func (r loadedRule) hidesExecs(a record.ABI) bool {
	return r.list == unix.AUDIT_FILTER_EXIT && r.action == unix.AUDIT_NEVER &&
		(r.names(a, a.Execve) || r.names(a, a.Execveat))
}

// hidesTasks says whether the rule keeps every process that starts from then on out of audit: `-a task,never`, which
// some distributions ship.
func (r loadedRule) hidesTasks() bool {
	return r.list == unix.AUDIT_FILTER_TASK && r.action == unix.AUDIT_NEVER &&
		!slices.ContainsFunc(r.fields, func(f ruleField) bool { return f.id != unix.AUDIT_FILTERKEY })
}

// excludesRecords says whether the rule drops the records that execs are made of, for some or all processes.
func (r loadedRule) excludesRecords() bool { return r.drops(unix.AUDIT_SYSCALL, unix.AUDIT_EXECVE) }

// drops says whether the rule drops records of one of some types, for some or all processes.
func (r loadedRule) drops(types ...uint32) bool {
	if r.list != unix.AUDIT_FILTER_EXCLUDE || r.action != unix.AUDIT_ALWAYS && r.action != unix.AUDIT_NEVER {
		return false
	}
	typed := false
	for _, f := range r.fields {
		if f.id != unix.AUDIT_MSGTYPE {
			continue
		}
		typed = true
		if slices.ContainsFunc(types, func(t uint32) bool { return compare(t, f.op, f.value) }) {
			return true
		}
	}
	return !typed // by pid, uid ...: whatever the record
}

// key returns the rule's key; empty: it has none.
func (r loadedRule) key() string {
	for _, f := range r.fields {
		if f.id == unix.AUDIT_FILTERKEY {
			return f.text
		}
	}
	return ""
}

// watchOf is a rule in auditctl's short form for files.
var watchOf = regexp.MustCompile(`^-w (\S+) -p (\S+)`)

// String is the rule as auditctl writes it.
func (r loadedRule) String() string {
	line, err := rule.ToCommandLine(r.wire, true)
	if err != nil {
		return fmt.Sprintf("a rule of %d bytes in list %d", len(r.wire), r.list)
	}
	if r.action == unix.AUDIT_NEVER { // the short form means always, and go-libaudit writes it for both
		file := "path"
		if slices.ContainsFunc(r.fields, func(f ruleField) bool { return f.id == unix.AUDIT_DIR }) {
			file = "dir"
		}
		line = watchOf.ReplaceAllString(line, "-a never,exit -F "+file+"=$1 -F perm=$2")
	}
	return line
}

// hiding returns the rules that keep execs, or who changes audit, from being reported: `never` in the list of system
// calls before the rule that reports an ABI's execs, since the first rule that matches decides; and those that keep
// tasks or records out.
func hiding(rules []loadedRule) (out []loadedRule) {
	for i, r := range rules {
		before := func(a record.ABI) bool {
			return r.hidesExecs(a) &&
				!slices.ContainsFunc(rules[:i], func(o loadedRule) bool { return o.reportsExecs(a) })
		}
		never := r.list == unix.AUDIT_FILTER_TASK && r.action == unix.AUDIT_NEVER
		if never || r.drops(unix.AUDIT_SYSCALL, unix.AUDIT_EXECVE, unix.AUDIT_CONFIG_CHANGE) ||
			slices.ContainsFunc(record.ABIs(goarch), before) {
			out = append(out, r)
		}
	}
	return out
}

// compare is the kernel's audit_comparator for numbers.
func compare(left, op, right uint32) bool {
	switch op {
	case unix.AUDIT_EQUAL:
		return left == right
	case unix.AUDIT_NOT_EQUAL:
		return left != right
	case unix.AUDIT_LESS_THAN:
		return left < right
	case unix.AUDIT_LESS_THAN_OR_EQUAL:
		return left <= right
	case unix.AUDIT_GREATER_THAN:
		return left > right
	case unix.AUDIT_GREATER_THAN_OR_EQUAL:
		return left >= right
	}
	return false
}

// uncovered returns the ABIs of this machine whose execs no rule reports.
func uncovered(rules []loadedRule) (missing []record.ABI) {
	for _, a := range record.ABIs(goarch) {
		if !slices.ContainsFunc(rules, func(r loadedRule) bool { return r.reportsExecs(a) }) {
			missing = append(missing, a)
		}
	}
	return missing
}
