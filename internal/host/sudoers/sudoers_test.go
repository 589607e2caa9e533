// SPDX-License-Identifier: Apache-2.0

package sudoers

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// folder makes a root folder with files, and reads their rules.
func folder(t testing.TB, files map[string]string) *Policy {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o440))
		require.NoError(t, os.Chown(path, os.Getuid(), 0))
	}
	p, err := Read(Options{Root: root, Owner: uint32(os.Getuid()), Host: "web-1.example.com"})
	require.NoError(t, err)
	return p
}

var (
	ann  = User{Name: "rbann", ID: 4241, Groups: []Group{{"rbann", 4241}, {"rbteam", 4250}}}
	bob  = User{Name: "rbbob", ID: 4242, Groups: []Group{{"rbbob", 4242}, {"rbteam", 4250}}}
	here = Host{Name: "web-1.example.com", Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/24")}}
)

func written(a Answer) (out []string) {
	for _, r := range a.Rules {
		out = append(out, r.String())
	}
	return out
}

// Rules are those of the account, on this host, and written as sudo -l writes them.
func TestRulesOfAnAccount(t *testing.T) {
	for name, c := range map[string]struct {
		text     string
		ann, bob []string
		partly   bool
	}{
		"Debian's own": {
			text: "root\tALL=(ALL:ALL) ALL\n%rbteam\tALL=(ALL:ALL) ALL\n",
			ann:  []string{"(ALL : ALL) ALL"}, bob: []string{"(ALL : ALL) ALL"},
		},
		"a user without a password": {
			text: "rbann ALL=(ALL) NOPASSWD: ALL", ann: []string{"(ALL) NOPASSWD: ALL"},
		},
		"by id": {
			text: "#4242 ALL = /bin/ls # not #4241 ALL\n%#4250 ALL = /bin/id", bob: []string{"(root) /bin/ls", "(root) /bin/id"},
			ann: []string{"(root) /bin/id"},
		},
		"an alias excludes": {
			text: "User_Alias OPS = %rbteam, !rbbob : DBA = rbbob\nOPS ALL = /bin/a\nDBA ALL = /bin/b",
			ann:  []string{"(root) /bin/a"}, bob: []string{"(root) /bin/b"},
		},
		"the last that names the user decides": {
			text: "!rbann, rbann ALL = /bin/a\nrbann, !rbann ALL = /bin/b\nALL, !rbann ALL = /bin/c",
			ann:  []string{"(root) /bin/a"}, bob: []string{"(root) /bin/c"},
		},
		"aliases of commands": {
			text: "Cmnd_Alias NET = /usr/bin/ss -tlnp, \\\n  /bin/netstat, !/bin/netstat -e\n" +
				"rbann ALL = NET\nrbbob ALL = ALL, !NET",
			ann: []string{"(root) /usr/bin/ss -tlnp, /bin/netstat, !/bin/netstat -e"},
			bob: []string{"(root) ALL, !/usr/bin/ss -tlnp, !/bin/netstat, /bin/netstat -e"},
		},
		"tags hold for what follows": {
			text: `rbann ALL = NOPASSWD: /bin/a, /bin/b, PASSWD: /bin/c, (www-data : adm) NOEXEC: SETENV: /bin/sh -c x\,y\:z`,
			ann: []string{
				"(root) NOPASSWD: /bin/a, /bin/b", "(root) /bin/c", `(www-data : adm) NOEXEC: SETENV: /bin/sh -c x\,y\:z`,
			},
		},
		"hosts": {
			text: "Host_Alias WEB = web-1, web-2\nrbann WEB = /bin/a : db-1 = /bin/b : 192.0.2.0/24 = /bin/c\n" +
				"rbann ALL, !web-1 = /bin/d\nrbann 192.0.2.7 = /bin/e\nrbann 198.51.100.0/24 = /bin/f",
			ann: []string{"(root) /bin/a", "(root) /bin/c", "(root) /bin/e"},
		},
		"options, checksums and expressions": {
			text: "Defaults:rbann !requiretty\nDefaults env_reset\n" +
				`rbann ALL = (postgres) CWD=/tmp TIMEOUT=5m NOPASSWD: /usr/bin/psql, (:rbteam) sha256:Zm9vYg== /bin/x, ` +
				`sudoedit /etc/motd, ^/usr/bin/(ls|cat),.*$`,
			ann: []string{
				"(postgres) NOPASSWD: /usr/bin/psql",
				"(rbann : rbteam) NOPASSWD: sha256:Zm9vYg== /bin/x, sudoedit /etc/motd, ^/usr/bin/(ls|cat),.*$",
			},
		},
		"quoted names": {
			text: `"rbann" ALL = /bin/a` + "\n" + `"dom\user", rb\bob ALL = /bin/b`,
			ann:  []string{"(root) /bin/a"}, bob: []string{"(root) /bin/b"},
		},
		"what is not known": {
			text: "+staff ALL = ALL\n%rbteam ALL = /bin/a", ann: []string{"(root) /bin/a"}, bob: []string{"(root) /bin/a"},
			partly: true,
		},
		"what cannot be read": {
			text: "rbann ALL ALL\nrbann ALL = (root /bin/x\nrbann\nrbann ALL = NOPASSWD:\nrbann ALL = /bin/a", partly: true,
			ann: []string{"(root) /bin/a"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := folder(t, map[string]string{"etc/sudoers": c.text})
			for _, who := range []struct {
				user User
				want []string
			}{{ann, c.ann}, {bob, c.bob}} {
				a := p.Of(who.user, here)
				assert.Equal(t, who.want, written(a), who.user.Name)
				assert.Equal(t, c.partly, a.Incomplete, who.user.Name)
				assert.False(t, a.Truncated)
			}
		})
	}
}

// What a rule means for an analyst: everything as root, and without a password.
func TestWhatARuleAllows(t *testing.T) {
	for text, want := range map[string][2]bool{
		"ALL": {true, false}, "NOPASSWD: ALL, !/bin/su": {true, true}, "(ALL) ALL": {true, false},
		"(postgres) ALL": {false, false}, "(#0) ALL": {true, false}, "(:adm) ALL": {false, false},
		"(ADMINS) NOPASSWD: /bin/a": {false, true}, "(ADMINS) ALL": {true, false}, "(ALL, !root) ALL": {false, false},
	} {
		p := folder(t, map[string]string{"etc/sudoers": "Runas_Alias ADMINS = www-data, root\nrbann ALL = " + text})
		a := p.Of(ann, here)
		require.Len(t, a.Rules, 1, text)
		assert.Equal(t, want, [2]bool{a.Rules[0].All(), a.Rules[0].NoPassword()}, text)
	}
}

// Files are included as sudo does it; what sudo ignores, or cannot read, is left out.
func TestIncludedFiles(t *testing.T) {
	p := folder(t, map[string]string{
		"etc/sudoers": "#includedir /etc/sudoers.d\n@include extra-%h\n@include with\\ blank\n" +
			"#include /etc/none\n",
		"etc/sudoers.d/10-b":     "rbann ALL = /bin/b",
		"etc/sudoers.d/05-a":     "rbann ALL = /bin/a",
		"etc/sudoers.d/x.rpmnew": "rbann ALL = ALL",
		"etc/sudoers.d/x~":       "rbann ALL = ALL",
		"etc/extra-web-1":        "rbann ALL = /bin/extra",
		"etc/with blank":         "rbann ALL = /bin/blank",
	})
	a := p.Of(ann, here)
	require.Equal(t, []string{"(root) /bin/a", "(root) /bin/b", "(root) /bin/extra", "(root) /bin/blank"}, written(a))
	require.True(t, a.Incomplete, "/etc/none is not there")

	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "etc"), 0o755))
	none, err := Read(Options{Root: root, Owner: uint32(os.Getuid())})
	require.NoError(t, err, "a host without sudo")
	require.Equal(t, Answer{}, none.Of(ann, here))
	path := filepath.Join(root, "etc/sudoers")
	require.NoError(t, os.WriteFile(path, []byte("ALL ALL = ALL"), 0o440))
	require.NoError(t, os.Chmod(path, 0o446))
	_, err = Read(Options{Root: root, Owner: uint32(os.Getuid())})
	require.ErrorIs(t, err, errOwner, "everybody may write to it")
	require.NoError(t, os.Chmod(path, 0o440))
	_, err = Read(Options{Root: root, Owner: uint32(os.Getuid()) + 1})
	require.ErrorIs(t, err, errOwner)
}

// Files without end, and aliases that multiply, cost no more than the bounds allow.
func TestBounds(t *testing.T) {
	loop := folder(t, map[string]string{"etc/sudoers": "rbann ALL = /bin/a\n@include /etc/sudoers\n"})
	a := loop.Of(ann, here)
	require.True(t, a.Incomplete)
	require.LessOrEqual(t, len(a.Rules), depthMost+1)

	var b strings.Builder
	for i := range 40 {
		fmt.Fprintf(&b, "Cmnd_Alias C%d = C%d, C%d\nUser_Alias U%d = U%d, U%d\n", i, i+1, i+1, i, i+1, i+1)
	}
	b.WriteString("rbann ALL = C0\nU0 ALL = ALL\nCmnd_Alias SELF = SELF\nrbann ALL = SELF\n")
	a = folder(t, map[string]string{"etc/sudoers": b.String()}).Of(ann, here)
	require.True(t, a.Incomplete)

	a = folder(t, map[string]string{"etc/sudoers": strings.Repeat("rbann ALL = /bin/a\n", 100)}).Of(ann, here)
	require.Len(t, a.Rules, rulesMost)
	require.True(t, a.Truncated)

	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "etc"), 0o755))
	large := strings.Repeat("# "+strings.Repeat("x", 1022), 1025)
	require.NoError(t, os.WriteFile(filepath.Join(root, "etc/sudoers"), []byte(large), 0o440))
	_, err := Read(Options{Root: root, Owner: uint32(os.Getuid())})
	require.ErrorIs(t, err, errMany)
}

// TestSudoItselfSaysTheSame has the sudo of this host say what real accounts may run.
func TestSudoItselfSaysTheSame(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: sudo -l -U NEEDS ROOT")
	}
	for _, tool := range []string{"sudo", "useradd", "groupadd"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("SKIPPED: this host has no " + tool)
		}
	}
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		require.NoError(t, err, "%s %v: %s", name, args, out)
		return string(out)
	}
	remove := func() {
		for _, user := range []string{"rbsudo1", "rbsudo2"} {
			_ = exec.Command("userdel", user).Run()
		}
		_ = exec.Command("groupdel", "rbsudoers").Run()
	}
	remove()
	t.Cleanup(remove)
	run("groupadd", "-g", "4250", "rbsudoers")
	run("useradd", "-M", "-u", "4251", "-G", "rbsudoers", "rbsudo1")
	run("useradd", "-M", "-u", "4252", "rbsudo2")
	rules := `User_Alias RBOPS = %rbsudoers, !rbsudo2 : RBDBA = \#4252
Cmnd_Alias RBNET = /usr/bin/ss -tlnp, /bin/netstat, !/bin/netstat -e
Runas_Alias RBSVC = www-data, root
RBOPS ALL = NOPASSWD: RBNET
rbsudo1 ALL = (RBSVC : adm) SETENV: NOEXEC: /bin/sh -c x\,y\:z
%rbsudoers ALL=(ALL) NOPASSWD: ALL, !/bin/su, !RBNET
#4252 ALL = (postgres) NOPASSWD: /usr/bin/psql
rbsudo2 ALL, !elsewhere = (root) /bin/a, sudoedit /etc/motd
rbsudo2 elsewhere = ALL
`
	file := "/etc/sudoers.d/beat-test-of-rules"
	require.NoError(t, os.WriteFile(file, []byte(rules), 0o440))
	t.Cleanup(func() { os.Remove(file) })
	run("visudo", "-c", "-f", file)
	name, err := os.Hostname()
	require.NoError(t, err)
	p, err := Read(Options{Root: "/", Host: name})
	require.NoError(t, err)
	for _, u := range []User{
		{Name: "rbsudo1", ID: 4251, Groups: []Group{{"rbsudoers", 4250}}}, {Name: "rbsudo2", ID: 4252},
	} {
		_, allowed, ok := strings.Cut(run("sudo", "-l", "-U", u.Name), "may run the following commands on ")
		require.True(t, ok)
		_, allowed, _ = strings.Cut(allowed, "\n")
		allowed = strings.ReplaceAll(strings.TrimRight(allowed, "\n"), "\n        ", " ") // where it breaks lines
		got := strings.Join(written(p.Of(u, Host{Name: name})), "\n")
		assert.Equal(t, strings.ReplaceAll(allowed, "    ", ""), got, u.Name)
	}
}

func FuzzSudoers(f *testing.F) {
	for _, text := range []string{
		"root ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) NOPASSWD: ALL\n@includedir /etc/sudoers.d",
		"User_Alias A = x, !y : B = #12\nCmnd_Alias C = /bin/x \\\n -a, !/bin/y\n" +
			"A, B ALL, !h = (r : g) NOEXEC: C, sha256:ab /c",
		"Defaults@h x\nDefaults:u !y\n\"a b\" fe80::1 = CWD=/ TIMEOUT=1m sudoedit /x, ^/a$ : ALL = list # x",
		"#1 ALL=\\\n(\"", "x \\", "@include \"", "a=b:c=d", "!", "(", "%#-1 ALL=!!ALL", "Defaults", "DefaultsX",
	} {
		f.Add(text)
	}
	root := f.TempDir()
	require.NoError(f, os.MkdirAll(filepath.Join(root, "etc"), 0o755))
	f.Fuzz(func(t *testing.T, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(root, "etc/sudoers"), []byte(text), 0o440))
		p, err := Read(Options{Root: root, Owner: uint32(os.Getuid()), Host: "h"})
		if err != nil {
			require.ErrorIs(t, err, errMany)
			return
		}
		a := p.Of(ann, here)
		require.LessOrEqual(t, len(a.Rules), rulesMost)
		for _, r := range a.Rules {
			if r.String() == "" || len(r.Commands) == 0 && !a.Incomplete {
				t.Fatalf("%q: a rule of nothing: %+v", text, r)
			}
		}
	})
}
