// SPDX-License-Identifier: Apache-2.0

package auditd

import (
	"strings"
	"testing"

	"github.com/elastic/go-libaudit/v2/rule"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/module/auditd/record"
)

func TestOwnRuleIsWhatAuditctlWouldLoad(t *testing.T) {
	for _, a := range record.ABIs(goarch) {
		wire, err := ownRule(a, 4711)
		require.NoError(t, err)
		r := loaded(t, "-a always,exit -F arch="+a.Name+" -F success=1 -F pid!=4711 -S execve,execveat -k reconbeat")
		assert.Equal(t, r.wire, wire)
		r, err = parseRule(wire)
		require.NoError(t, err)
		assert.True(t, r.own())
		assert.EqualValues(t, 4711, r.excludedPID())
		assert.True(t, r.reportsExecs(a))
	}
}

func TestWhatARuleMeansForExecs(t *testing.T) {
	native := record.ABIs("amd64")[0]
	if goarch != "amd64" {
		t.Skip("the rules below are resolved for amd64")
	}
	for line, want := range map[string]struct{ own, reports, hidesExecs, hidesTasks, excludes bool }{
		"-a always,exit -F arch=b64 -S execve,execveat":                       {reports: true},
		"-a always,exit -F arch=b64 -S execve,execveat -F success=1 -k execs": {reports: true},
		"-a always,exit -S all":                                               {reports: true},
		"-a always,exit -F arch=b64 -S execve":                                {},
		"-a always,exit -F arch=b32 -S execve,execveat":                       {},
		"-a always,exit -F arch=b64 -S execve,execveat -F auid>=1000":         {},
		"-a always,exit -F arch=b64 -S execve,execveat -F success=0":          {},
		"-a always,exit -F arch=b64 -S execve,execveat -F exe=/usr/bin/ss":    {},
		"-a always,exit -F arch=b64 -S execve,execveat -k reconbeat":          {own: true, reports: true},
		"-a always,exit -F arch=b64 -S open -k reconbeat2":                    {},
		"-w /etc/passwd -p wa -k reconbeats":                                  {},
		"-a never,exit -F arch=b64 -S execve":                                 {hidesExecs: true},
		"-a never,exit -F arch=b64 -S open":                                   {},
		"-a never,task":                                                       {hidesTasks: true},
		"-a never,task -F uid=33":                                             {},
		"-a exclude,always -F msgtype=SYSCALL":                                {excludes: true},
		"-a exclude,always -F msgtype=PROCTITLE":                              {},
		"-a exclude,always -F msgtype>=1300 -F msgtype<=1310":                 {excludes: true},
		"-a exclude,always -F uid=33":                                         {excludes: true},
	} {
		t.Run(line, func(t *testing.T) {
			r := loaded(t, line)
			assert.Equal(t, want.own, r.own(), "own")
			assert.Equal(t, want.reports, r.reportsExecs(native), "reports execs")
			assert.Equal(t, want.hidesExecs, r.hidesExecs(native), "hides execs")
			assert.Equal(t, want.hidesTasks, r.hidesTasks(), "hides tasks")
			assert.Equal(t, want.excludes, r.excludesRecords(), "excludes records")
		})
	}
}

func FuzzParseRule(f *testing.F) {
	for _, a := range record.ABIs("amd64") {
		wire, err := ownRule(a, 1)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
		f.Add(wire[:len(wire)-4])
	}
	wire, err := rule.Build(
		&rule.FileWatchRule{
			Type:        rule.FileWatchRuleType,
			Path:        "/etc",
			Permissions: []rule.AccessType{rule.ReadAccessType},
			Keys:        []string{"k"},
		},
	)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(wire))
	f.Fuzz(func(t *testing.T, wire []byte) {
		r, err := parseRule(wire)
		if err != nil {
			return
		}
		_ = r.own() && r.hidesTasks() && r.excludesRecords()
		for _, a := range record.ABIs("amd64") {
			_ = r.reportsExecs(a) || r.hidesExecs(a)
		}
	})
}

func TestARuleIsWrittenAsAuditctlDoes(t *testing.T) {
	for line, want := range map[string]string{
		"-w /usr/bin/ss -p x -k tools":                                 "-w /usr/bin/ss -p x -k tools",
		"-a never,exit -F path=/usr/bin/ss -F perm=x":                  "-a never,exit -F path=/usr/bin/ss -F perm=x",
		"-a never,exit -F path=/usr/bin/ss -F perm=x -k q":             "-a never,exit -F path=/usr/bin/ss -F perm=x -k q",
		"-a never,exit -F path=/usr/bin/ss -F perm=rx -F auid=1000":    "",
		"-a never,exit -F arch=b64 -S execve -F exe=/usr/bin/ss":       "",
		"-a never,exit -F dir=/usr/bin -F perm=x":                      "-a never,exit -F dir=/usr/bin -F perm=x",
		"-a always,exit -F path=/etc/passwd -F perm=wa -F key=changes": "-w /etc/passwd -p wa -k changes",
	} {
		got := loaded(t, line).String()
		if want != "" {
			assert.Equal(t, want, got, line)
		}
		assert.Equal(t, strings.Contains(line, "never"), strings.Contains(got, "never"), "%s is %s", line, got)
	}
}
