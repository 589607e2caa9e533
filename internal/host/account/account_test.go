// SPDX-License-Identifier: Apache-2.0

package account

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/process"
)

// hash is a password's, which must not be in any answer.
const hash = "$y$j9T$secretsalt$secrethashsecrethash"

// now is day 20,500 since 1970.
var now = time.Unix(20500*86400+3600, 0).UTC()

func testHost(t *testing.T) (root string, r *Reader) {
	t.Helper()
	root = t.TempDir()
	for name, text := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n" +
			"ann:x:1000:1000:Ann:/home/ann:/bin/bash\nbob:x:1001:100::/home/bob:\ncat:x:1002:1002::/nowhere:/bin/sh\n" +
			"dan:x:1003:1003::/home/ann:/bin/sh\nnobody:x:65534:65534::/:/bin/false\nbroken:line\n",
		"etc/group": "root:x:0:\nadm:x:4:syslog,ann\nusers:x:100:\nsudo:x:27:ann,bob\nann:x:1000:\nbroken\n",
		"etc/shadow": fmt.Sprintf("root:*:20000:0:99999:7:::\nwww-data:!:20000::::::\nann:%s:20490:0:99999:7:::\n"+
			"bob:!%s:20400:0:30:7:10:20499:\ncat::20400:0:99999:7::20501:\ndan:%s:20400:0:30:7:10::\n", hash, hash, hash),
		"etc/login.defs":           "# UID_MIN 5\nUID_MIN\t\t\t 1000\nUID_MAX 60000\n",
		"etc/sudoers":              "%sudo ALL=(ALL:ALL) ALL\nann ALL=(root) NOPASSWD: /usr/bin/ss\n",
		"home/ann/authorized_keys": "",
	} {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o440))
		require.NoError(t, os.Chown(path, -1, 0))
	}
	r = New(root)
	r.hostname = func() (string, error) { return "web-1", nil }
	r.owner = uint32(os.Getuid())
	return root, r
}

// rules are what sudo allows, in words.
func rules(a Account) (out []string) {
	for _, rule := range a.Sudo.Rules {
		out = append(out, rule.String())
	}
	return out
}

func TestWhatTheFilesSayOfAnAccount(t *testing.T) {
	_, r := testHost(t)
	for name, want := range map[string]Account{
		"root": {Local: true, Class: Root, Shell: "/bin/bash", Groups: []string{"root"}, Password: PasswordNone,
			Set: date(20000)},
		"www-data": {Local: true, Class: System, Shell: "/usr/sbin/nologin", Groups: []string{"33"}, Password: PasswordNone,
			Set: date(20000)},
		"ann": {Local: true, Class: Person, Shell: "/bin/bash", Groups: []string{"ann", "adm", "sudo"},
			Password: PasswordSet, Set: date(20490)},
		"bob": {Local: true, Class: Person, Shell: "/bin/sh", Groups: []string{"users", "sudo"}, Password: PasswordLocked,
			Set: date(20400), Expires: date(20499), Expired: true},
		"cat": {Local: true, Class: Person, Shell: "/bin/sh", Groups: []string{"1002"}, Password: PasswordEmpty,
			Set: date(20400), Expires: date(20501)},
		"dan": {Local: true, Class: Person, Shell: "/bin/sh", Groups: []string{"1003"}, Password: PasswordSet,
			Set: date(20400), Expired: true},
		"nobody": {Local: true, Class: System, Shell: "/bin/false", Groups: []string{"65534"}, Password: PasswordNone},
		"eve":    {}, // of a directory server, or gone
	} {
		got := r.Of(process.Unset, name, now)
		require.NoError(t, got.Unread)
		require.NotContains(t, fmt.Sprintf("%+v", got), "secret", "no hash goes anywhere")
		require.Len(t, got.Changed, len(Files))
		wanted := rules(got)
		got.Sudo.Rules, got.Changed = nil, nil
		assert.Equal(t, name == "eve", got.Sudo.Incomplete, name)
		got.Sudo.Incomplete = false
		assert.Equal(t, want, got, name)
		assert.Equal(t, map[string][]string{
			"ann": {"(ALL : ALL) ALL", "(root) NOPASSWD: /usr/bin/ss"}, "bob": {"(ALL : ALL) ALL"},
		}[name], wanted, name)
	}
	ann := r.Of(1000, "whatever a source calls it", now)
	require.Equal(t, "/bin/bash", ann.Shell, "the id counts")
}

// An answer holds while the files stay as they are, and no longer than it may.
func TestAnswersAreKeptWhileTheFilesStay(t *testing.T) {
	root, r := testHost(t)
	ask := func(at time.Time) Account {
		t.Helper()
		a := r.Of(1000, "ann", at)
		require.NoError(t, a.Unread)
		return a
	}
	first := ask(now)
	again := ask(now.Add(Kept - 1))
	require.Equal(t, reflect.ValueOf(first.Changed).Pointer(), reflect.ValueOf(again.Changed).Pointer(), "from memory")
	require.NotEqual(t, reflect.ValueOf(first.Changed).Pointer(), reflect.ValueOf(ask(now.Add(Kept)).Changed).Pointer())

	group := filepath.Join(root, "etc/group")
	require.NoError(t, os.Chmod(group, 0o640))
	require.NoError(t, os.WriteFile(group, []byte("wheel:x:10:ann\n"), 0o640))
	require.Equal(t, []string{"1000", "wheel"}, ask(now.Add(Kept)).Groups)

	require.NoError(t, os.WriteFile(filepath.Join(root, "etc/nsswitch.conf"), []byte("sudoers: files sss\n"), 0o644))
	require.True(t, ask(now.Add(3*Kept)).Sudo.Incomplete, "a directory server may have more rules")
	require.NoError(t, os.Remove(group))
	partly := r.Of(1000, "ann", now)
	require.ErrorContains(t, partly.Unread, "reading this host's accounts: open "+group)
	require.Equal(t, "/bin/bash", partly.Shell, "what can be read is there")
}

// A key file is read as what it is; whatever else its owner puts there hangs nothing and shows nothing.
func TestKeyFiles(t *testing.T) {
	root, r := testHost(t)
	ssh := filepath.Join(root, "home/ann/.ssh")
	require.NoError(t, os.MkdirAll(ssh, 0o700))
	file := filepath.Join(ssh, "authorized_keys")
	changed := now.Add(-2 * time.Minute)
	for name, c := range map[string]struct {
		put  func() error
		want Keys
	}{
		"none": {func() error { return nil }, Keys{}},
		"two": {func() error {
			if err := os.WriteFile(file, []byte("# mine\nssh-ed25519 AAAA a\n\nrestrict ssh-rsa AAAA b\n"), 0o600); err != nil {
				return err
			}
			return os.Chtimes(file, changed, changed)
		}, Keys{Changed: changed, Count: 2}},
		"a pipe":   {func() error { return unix.Mkfifo(file, 0o600) }, Keys{Unread: Failed}},
		"a folder": {func() error { return os.Mkdir(file, 0o700) }, Keys{Unread: Failed}},
		"a link out of the home directory": {
			func() error { return os.Symlink(filepath.Join(root, "etc/shadow"), file) }, Keys{Unread: Failed},
		},
		"too large": {func() error { return os.WriteFile(file, []byte(strings.Repeat("x\n", keysMost)), 0o600) },
			Keys{Unread: Failed}},
	} {
		require.NoError(t, c.put(), name)
		clear(r.kept)
		a := r.Of(1000, "ann", now)
		assert.Equal(t, c.want, a.Keys, name)
		require.NoError(t, os.RemoveAll(file))
	}
}

// A home directory that does not answer is waited for once.
func TestAHomeDirectoryThatDoesNotAnswer(t *testing.T) {
	_, r := testHost(t)
	hangs := make(chan Keys, 1)
	r.late = hangs
	a := r.Of(1000, "ann", now)
	require.Equal(t, Keys{Unread: Late}, a.Keys)
	require.Equal(t, "/bin/bash", a.Shell)
	hangs <- Keys{}
	clear(r.kept)
	a = r.Of(1000, "ann", now)
	require.Equal(t, Keys{}, a.Keys)
}

func FuzzFiles(f *testing.F) {
	f.Add("ann:x:1000:1000::/home/ann:/bin/sh\n", "ann:"+hash+":1:2:3:4:5:6:\n", "g:x:1000:ann,ann\n")
	f.Add("ann:x:-1:99999999999:a:b:c:d", "ann:!$::::::", "::\n:::ann")
	root := f.TempDir()
	require.NoError(f, os.MkdirAll(filepath.Join(root, "etc"), 0o755))
	f.Fuzz(func(t *testing.T, passwd, shadow, group string) {
		for name, text := range map[string]string{"passwd": passwd, "shadow": shadow, "group": group} {
			require.NoError(t, os.WriteFile(filepath.Join(root, "etc", name), []byte(text), 0o600))
		}
		a := New(root).Of(process.Unset, "ann", now)
		require.NoError(t, a.Unread)
		require.LessOrEqual(t, len(a.Groups), groupsMost)
		require.Contains(t, []string{"", PasswordSet, PasswordNone, PasswordLocked, PasswordEmpty}, a.Password)
	})
}

func TestAnEntryOfPasswd(t *testing.T) {
	root := t.TempDir()
	r := New(root)
	_, ok := r.Entry(1000)
	require.False(t, ok, "nothing is there")
	require.NoError(t, os.Mkdir(filepath.Join(root, "etc"), 0o755))
	passwd := "a:x:1000:100::/home/a:/bin/bash\nb:x:1001:100::/b:/usr/sbin/nologin\nc:x:1002:100::/c:/bin/false\n" +
		"d:x:1003:100::/d:\nshort:x:1004\n"
	require.NoError(t, os.WriteFile(filepath.Join(root, "etc/passwd"), []byte(passwd), 0o644))
	for range 2 {
		a, ok := r.Entry(1000)
		require.True(t, ok)
		require.Equal(t, Entry{Name: "a", Home: "/home/a", Shell: "/bin/bash", Group: 100}, a)
		require.False(t, a.LetsNobodyIn())
		for id, in := range map[uint32]bool{1001: true, 1002: true, 1003: false, 1004: false, 1005: false} {
			a, ok := r.Entry(id)
			require.Equal(t, id < 1004, ok, id)
			require.Equal(t, in, a.LetsNobodyIn(), id)
		}
	}
}
