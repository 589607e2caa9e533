// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bufio"
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/process"
)

var update = flag.Bool("update", false, "write the golden files anew")

// accountLine is an event of an account as the golden file has it.
func accountLine(e *process.Event) string {
	who := func(u process.User) string {
		if u.ID == process.Unset {
			return cmp.Or(u.Name, "-")
		}
		return strings.TrimSpace(fmt.Sprint(u.ID, " ", u.Name))
	}
	group, from := cmp.Or(e.Account.Group, "-"), "-"
	if e.Session.Source.IsValid() {
		from = e.Session.Source.String()
	}
	return fmt.Sprintf("%d %s | account %s | group %s | uid %s, login user %s, %s, from %s", e.Sequence, e.Account.Action,
		who(e.Account.User), group, who(e.User), who(e.Session.User), e.Name, from)
}

func accountEvents(t testing.TB, lines []byte) (out []string) {
	a := NewAssembler(Options{Stats: &module.Stats{}, Source: "auditlog"}, func(e *process.Event) error {
		if e.Kind == process.AccountChange {
			out = append(out, accountLine(e))
		}
		return nil
	})
	for s := bufio.NewScanner(bytes.NewReader(lines)); s.Scan(); {
		require.NoError(t, a.Line(s.Bytes(), process.Cursor{}))
	}
	return out
}

// testdata/accounts.log is what Debian 12's useradd, usermod, chpasswd, passwd, gpasswd, chage, chsh, su, sudo, sshd
// and userdel wrote: what was run stands in the golden file's order.
func TestRecordsOfAccounts(t *testing.T) {
	log, err := os.ReadFile(filepath.Join("testdata", "accounts.log"))
	require.NoError(t, err)
	got := strings.Join(accountEvents(t, log), "\n") + "\n"
	golden := filepath.Join("testdata", "accounts.golden")
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

// Other distributions' words for the same, and what is no change of an account.
func TestWordsForChangesOfAccounts(t *testing.T) {
	const head = "msg=audit(1481076992.488:7): pid=1264 uid=0 auid=1000 ses=3 "
	for line, want := range map[string]string{
		`type=ADD_USER ` + head + `subj=u:r:t:s0 msg='op=add-user id=1002 exe="/usr/sbin/useradd" hostname=? addr=? terminal=? res=success'`:                            "created | account 1002",
		`type=USER_MGMT ` + head + `msg='op=add-user-to-group grp="wheel" acct="bob" exe="/usr/sbin/usermod" hostname=? addr=? terminal=? res=success'`:                 "joined-group | account bob | group wheel",
		`type=USER_MGMT ` + head + `msg='op=add-user-to-shadow-group grp="wheel" acct="bob" exe="/usr/sbin/usermod" res=success'`:                                       "",
		`type=USER_MGMT ` + head + `msg='op=changing-primary-group id=1002 exe="/usr/sbin/usermod" hostname=? addr=? terminal=pts/1 res=success'`:                       "primary-group | account 1002",
		`type=USER_MGMT ` + head + `msg='op=updating-home-dir-owner id=1002 exe="/usr/sbin/usermod" res=success'`:                                                       "",
		`type=USER_MGMT ` + head + `msg='op=changing-uid id=9999 exe="/usr/sbin/usermod" hostname=? addr=? terminal=pts/1 res=success'`:                                 "id | account 9999",
		`type=USER_CHAUTHTOK ` + head + `msg='op=PAM:chauthtok grantors=? acct="bob" exe="/usr/bin/passwd" hostname=? addr=? terminal=pts/0 res=failed'`:                "",
		`type=ACCT_LOCK ` + head + `msg='op=locked-password id=1002 exe="/usr/bin/passwd" hostname=? addr=? terminal=pts/0 res=success'`:                                "locked | account 1002",
		`type=USER_AUTH ` + head + `msg='op=PAM:authentication grantors=? acct=226F7200 exe="/usr/sbin/sshd" hostname=h addr=::ffff:192.0.2.1 terminal=ssh res=failed'`: "authentication-failed | account \"or\x00",
		`type=USER_LOGIN ` + head + `msg='op=login id=1002 exe="/usr/sbin/sshd" hostname=? addr=192.0.2.1 terminal=sshd res=failed'`:                                    "login-failed | account 1002",
		`type=USER_LOGIN ` + head + `msg='op=login id=1002 exe="/usr/sbin/sshd" hostname=? addr=192.0.2.1 terminal=sshd res=success'`:                                   "",
		`type=USER_LOGIN ` + head + `msg='op=login acct="(unknown)" exe="/bin/login" hostname=? addr=? terminal=tty1 res=failed'`:                                       "",
		`type=USER_ACCT ` + head + `msg='op=user a added by root to group  acct="" exe="/usr/bin/gpasswd" res=success'`:                                                 "",
		`type=USER_ACCT ` + head + `msg='op=PAM:accounting grantors=pam_unix acct="bob" exe="/usr/sbin/cron" res=success'`:                                              "",
	} {
		got := accountEvents(t, []byte(line))
		if want == "" {
			require.Empty(t, got, line)
			continue
		}
		require.Len(t, got, 1, line)
		require.Contains(t, got[0], "7 "+want, line)
	}
}

// What PAM and sudo write at every login costs no memory.
func TestLoginsAllocateNothing(t *testing.T) {
	a := NewAssembler(Options{Stats: &module.Stats{}}, func(*process.Event) error { return nil })
	lines := [][]byte{
		[]byte(`type=USER_ACCT msg=audit(1.000:1): pid=1 uid=0 auid=1 ses=1 msg='op=PAM:accounting acct="a" exe="/usr/sbin/cron" res=success'`),
		[]byte(`type=USER_AUTH msg=audit(1.000:2): pid=1 uid=0 auid=1 ses=1 msg='op=PAM:authentication acct="a" exe="/usr/bin/su" res=success'`),
		[]byte(`type=USER_AUTH msg=audit(1.000:3): pid=1 uid=0 auid=1 ses=1 msg='op=PAM:authentication acct="a" exe="/usr/bin/su" res=failed'`),
		[]byte(`type=USER_MGMT msg=audit(1.000:4): pid=1 uid=0 auid=1 ses=1 msg='op=changing-shell id=7 exe="/usr/sbin/usermod" res=success'`),
	}
	feed := func() {
		for _, line := range lines {
			require.NoError(t, a.Line(line, process.Cursor{}))
		}
	}
	feed()
	require.Zero(t, testing.AllocsPerRun(100, feed))
}

func FuzzAccount(f *testing.F) {
	log, err := os.ReadFile(filepath.Join("testdata", "accounts.log"))
	require.NoError(f, err)
	for line := range bytes.Lines(log) {
		f.Add(bytes.Clone(line))
	}
	f.Add([]byte("type=USER_ACCT msg=audit(1.000:1): msg='op=members of group a set by b to ,,, ="))
	f.Fuzz(func(t *testing.T, line []byte) {
		if n := len(accountEvents(t, line)); n > membersMost*(1+bytes.Count(line, []byte("\n"))) {
			t.Fatalf("%d events of %q", n, line)
		}
	})
}
