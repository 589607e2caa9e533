// SPDX-License-Identifier: Apache-2.0

package config

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/control"
)

// doc is a match by the fields of the alert that it would be.
type doc map[string]string

func (d doc) Value(field string) any {
	if v, ok := d[field]; ok {
		return v
	}
	return nil
}

// start is a program start that known software is known for.
type start struct {
	item       string
	rule       string // the mission's where it is empty
	user       string // root where it is empty
	executable string
	command    string
	cwd        string
	parent     string // its executable
	parentLine string
	starter    string
	entry      string // the executable of the entry leader
	session    bool   // there may be a login session
}

// doc is the match of a start; a daemon's has no login session.
func (s start) doc() doc {
	d := doc{
		"user.name": "root", "user.id": "0", "process.executable": s.executable, "process.command_line": s.command,
		"process.working_directory": "/", "process.parent.executable": s.parent,
		"process.parent.command_line": s.parentLine,
	}
	if s.user != "" {
		d["user.name"], d["user.id"] = s.user, "998"
	}
	for field, v := range map[string]string{
		"process.working_directory": s.cwd, "reconbeat.process.starter": s.starter,
		"process.entry_leader.executable": s.entry,
	} {
		if v != "" {
			d[field] = v
		}
	}
	return d
}

const (
	dash     = "/usr/bin/dash"
	bash     = "/usr/bin/bash"
	netstat  = "/usr/bin/netstat"
	ss       = "/usr/bin/ss"
	timeout  = "/usr/bin/timeout"
	python   = "/usr/bin/python3.11"
	platform = "/usr/libexec/platform-python3.6"
	ddAgent  = "/opt/datadog-agent/bin/agent/agent"
	ossec    = "/var/ossec/bin/"
	xymon    = "/usr/lib/xymon/client/bin/"
)

// wazuhList is the command of Wazuh's ossec.conf.
const wazuhList = `netstat -tulpn | sed 's/\([[:alnum:]]\+\)\ \+[[:digit:]]\+\ \+[[:digit:]]\+\ \+\(.*\):` +
	`\([[:digit:]]*\)\ \+\([0-9\.\:\*]\+\).\+\ \([[:digit:]]*\/[[:alnum:]\-]*\).*/\1 \2 == \3 == \4 \5/' | ` +
	`sort -k 4 -g | sed 's/ == \(.*\) ==/:\1/' | sed 1,2d`

// ansibleLine is the command line of a module of Ansible's, as it was seen.
const ansibleLine = " /home/deploy/.ansible/tmp/ansible-tmp-1795918632.7420654-27580-213987594520966/" +
	"AnsiballZ_listen_ports_facts.py"

// vmScripts are where Debian and Red Hat have the scripts of service discovery.
var vmScripts = []string{
	"/bin/sh /usr/lib/x86_64-linux-gnu/open-vm-tools/serviceDiscovery/scripts/get-connection-info.sh",
	"/bin/sh /usr/lib64/open-vm-tools/serviceDiscovery/scripts/get-versions.sh",
}

// starts has program starts of each item, as the source of the item, or a run of the software, shows them.
var starts = []start{
	{
		item: "wazuh-logcollector", executable: netstat, command: "netstat -tulpn",
		parent: dash, parentLine: "sh -c " + wazuhList, entry: ossec + "wazuh-logcollector",
	},
	{
		item: "wazuh-logcollector", executable: netstat, command: "netstat -tulpn",
		parent: bash, parentLine: "sh -c -- " + wazuhList,
	},
	{
		item: "wazuh-rootcheck", executable: netstat, command: "netstat -an", entry: ossec + "wazuh-syscheckd",
		parent: dash, parentLine: `sh -c netstat -an | grep "^tcp" | grep "[^0-9]631 " > /dev/null 2>&1`,
	},
	{
		item: "wazuh-rootcheck", executable: netstat, command: "netstat -an",
		parent: bash, parentLine: `sh -c -- netstat -an | grep "^udp" | grep "[^0-9]5353 " > /dev/null 2>&1`,
	},
	{
		item: "wazuh-sca", executable: "/usr/sbin/ss", command: "ss -lntu",
		parent: ossec + "wazuh-modulesd", parentLine: ossec + "wazuh-modulesd",
	},
	{
		item: "checkmk-agent", executable: ss, command: "ss -ant",
		parent: bash, parentLine: "/bin/bash /usr/bin/check_mk_agent",
	},
	{
		item: "checkmk-netstat", executable: netstat, command: "netstat -ntua", cwd: "/usr/lib/check_mk_agent/plugins",
		parent: dash, parentLine: "/bin/sh ./netstat.linux",
	},
	{
		item: "checkmk-netstat", executable: netstat, command: "netstat -ntua", cwd: "/usr/lib/check_mk_agent/plugins",
		parent: dash, parentLine: "/bin/sh 300/netstat.linux",
	},
	{
		item: "xymon-client", user: "xymon", executable: netstat, command: "netstat -antuW", entry: xymon + "xymonlaunch",
		parent: dash, parentLine: "/bin/sh " + xymon + "xymonclient-linux.sh",
	},
	{
		item: "munin-netstat", user: "nobody", executable: netstat, command: "netstat -s",
		parent: dash, parentLine: "/bin/sh /etc/munin/plugins/netstat",
	},
	{
		item: "datadog-network", user: "dd-agent", executable: ss, command: "ss --numeric --tcp --all --ipv4",
		parent: dash, entry: ddAgent,
		parentLine: "sh -c ss --numeric --tcp --all --ipv4 | cut -d ' ' -f 1 | sort | uniq -c",
	},
	{
		item: "datadog-network", user: "dd-agent", executable: ss, command: "ss --numeric --udp --all --ipv6",
		parent: dash, parentLine: "sh -c ss --numeric --udp --all --ipv6 | wc -l",
	},
	{
		item: "datadog-network", user: "dd-agent", executable: ss, command: "ss --numeric --tcp --all --ipv6",
		parent: ddAgent, parentLine: ddAgent + " run -p /opt/datadog-agent/run/agent.pid",
	},
	{
		item: "telegraf-socketstat", user: "telegraf", executable: ss, command: "/usr/bin/ss -in --tcp",
		parent:     "/usr/bin/telegraf",
		parentLine: "/usr/bin/telegraf -config /etc/telegraf/telegraf.conf -config-directory /etc/telegraf/telegraf.d",
	},
	{
		item: "ansible-listen-ports", executable: netstat, command: "/usr/bin/netstat -p -l -u -n -t",
		parent: python, parentLine: python + ansibleLine, session: true,
	},
	{
		item: "ansible-listen-ports", executable: "/usr/sbin/ss", command: "/usr/sbin/ss -p -u -n -t -a", session: true,
		parent: platform, parentLine: strings.TrimSuffix(platform, "3.6") + ansibleLine,
	},
	{
		item: "sos-report", executable: netstat, command: "netstat -W -neopa", session: true,
		parent: timeout, parentLine: "timeout 300s netstat -W -neopa", starter: "python3.11",
	},
	{
		item: "sos-report", rule: "network-tool-discovery", executable: "/usr/sbin/nstat", command: "nstat -zas",
		parent: timeout, parentLine: "timeout 300s nstat -zas", starter: "platform-python3.6", session: true,
	},
	{
		item: "insights-client", executable: "/usr/sbin/ss", command: "/usr/sbin/ss -tupna",
		parent: timeout, parentLine: "timeout -s 9 120 /usr/sbin/ss -tupna", starter: "python3.9",
	},
	{
		item: "open-vm-tools", executable: ss, command: "ss -antup",
		parent: dash, parentLine: vmScripts[0], entry: "/usr/bin/vmtoolsd",
	},
	{
		item: "open-vm-tools", executable: "/usr/sbin/ss", command: "ss -lntup", parent: bash, parentLine: vmScripts[1],
	},
	{
		item: "lynis", executable: ss, command: "/usr/bin/ss --query=udp,tcp -plnt",
		parent: dash, parentLine: "/bin/sh /usr/sbin/lynis audit system --cronjob",
	},
	{
		item: "lynis", executable: "/usr/sbin/showmount", command: "/sbin/showmount -e",
		parent: bash, parentLine: "/bin/sh /usr/bin/lynis audit system --cronjob",
	},
	{
		item: "chkrootkit", executable: ss, command: "/usr/bin/ss -an",
		parent: dash, parentLine: "/bin/sh /usr/sbin/chkrootkit -q",
	},
	{
		item: "rkhunter", rule: "network-tool-discovery", executable: "/usr/bin/lsof",
		command: "/usr/bin/lsof -wnlP -i UDP:2001",
		parent:  bash, parentLine: "/bin/bash /usr/bin/rkhunter --cronjob --report-warnings-only --appendlog",
	},
	{
		item: "rkhunter", executable: netstat, command: "/usr/bin/netstat -an",
		parent: bash, parentLine: "/bin/bash /usr/bin/rkhunter --cronjob --report-warnings-only --appendlog",
	},
	{
		item: "cloud-init", executable: netstat, command: "netstat --route --numeric --extend",
		parent: python, parentLine: "/usr/bin/python3 /usr/bin/cloud-init --all-stages",
	},
	{
		item: "cloud-init", executable: netstat, command: "netstat -A inet6 --route --numeric",
		parent: platform, parentLine: "/usr/libexec/platform-python -s /usr/bin/cloud-init init --local",
	},
}

// everyKnown is a set of all items.
func everyKnown(t *testing.T) ([]control.Known, *control.Set) {
	t.Helper()
	items, err := Controls{KnownSoftware: []string{EveryKnown}}.Items(ControlFolders{}, time.UTC)
	require.NoError(t, err)
	set, err := control.New(items)
	require.NoError(t, err)
	return items.Known, set
}

// TestKnownSoftwareCoversItsOwnStarts also changes each start in one thing after the other: then no item covers it.
func TestKnownSoftwareCoversItsOwnStarts(t *testing.T) {
	all, set := everyKnown(t)
	seen := map[string]bool{}
	decide := func(rule string, d doc) (by []string) {
		for _, c := range set.Decide(rule, time.Unix(1_800_000_000, 0), d).By {
			require.Equal(t, control.KindKnown, c.Kind)
			by = append(by, c.ID)
		}
		return by
	}
	for _, s := range starts {
		seen[s.item] = true
		rule := s.rule
		if rule == "" {
			rule = "network-connection-discovery"
		}
		require.Equal(t, []string{s.item}, decide(rule, s.doc()), s.command)
		require.Empty(t, decide("user-discovery", s.doc()), "another rule")
		for name, change := range map[string]doc{
			"another account":           {"user.name": "www-data", "user.id": "33"},
			"another parent":            {"process.parent.executable": "/opt/implant"},
			"a parent of the same name": {"process.parent.executable": "/tmp/" + path.Base(s.parent)},
			"another command":           {"process.command_line": s.command + " -p"},
			"another program":           {"process.executable": "/tmp/" + path.Base(s.executable)},
		} {
			d := s.doc()
			maps.Copy(d, change)
			require.Empty(t, decide(rule, d), "%s of %s", name, s.command)
		}
		if runsOthers(s.parent) {
			d := s.doc()
			d["process.parent.command_line"] += " --more"
			require.Empty(t, decide(rule, d), "another script than that of %s", s.command)
		}
		if s.entry != "" {
			d := s.doc()
			d["process.entry_leader.executable"] = "/usr/sbin/sshd"
			require.Empty(t, decide(rule, d), "another daemon than that of %s", s.command)
		}
		d := s.doc()
		d["user.audit.id"] = "1000"
		if by := decide(rule, d); s.session {
			require.Equal(t, []string{s.item}, by)
		} else {
			require.Empty(t, by, "%s of a login session", s.command)
		}
	}
	for _, k := range all {
		require.True(t, seen[k.ID], "no start of %s is tested", k.ID)
	}
}

// runsOthers reports whether a program is a shell or an interpreter, or else starts what its command line says.
func runsOthers(executable string) bool {
	return regexp.MustCompile(`/((ba|da)?sh|(platform-)?python[0-9.]*|perl|timeout)$`).MatchString(executable)
}

// requires reports whether a condition holds only where a field has one of some values.
func requires(c *control.Condition, field string) bool {
	each := func(all []control.Condition, is func(control.Condition) bool) bool {
		return len(all) > 0 && !slices.ContainsFunc(all, func(c control.Condition) bool { return !is(c) })
	}
	is := func(c control.Condition) bool { return requires(&c, field) }
	switch {
	case c.Not:
		return false
	case len(c.Any) > 0:
		return each(c.Any, is)
	case len(c.All) > 0:
		return slices.ContainsFunc(c.All, is)
	}
	return c.Field == field && (len(c.Is)+len(c.IsOneOf)+len(c.Matches) > 0 || c.Regexp != "")
}

// TestKnownSoftwareIsNarrow holds what each item asks for at least.
func TestKnownSoftwareIsNarrow(t *testing.T) {
	all, err := KnownSoftware()
	require.NoError(t, err)
	require.NotEmpty(t, all)
	for _, k := range all {
		requires := func(field string) bool {
			return slices.ContainsFunc(k.Conditions, func(c control.Condition) bool { return requires(&c, field) })
		}
		require.NotEmpty(t, k.Name, k.ID)
		require.NotEmpty(t, k.Comment, k.ID)
		require.NotEmpty(t, k.Source, k.ID)
		require.NotEmpty(t, k.Rules, k.ID)
		require.Equal(t, "skip_result", k.Action, k.ID)
		for _, field := range []string{"process.executable", "process.command_line", "process.parent.executable"} {
			require.True(t, requires(field), "%s is not tied to %s", k.ID, field)
		}
		require.True(t, requires("user.id") || requires("user.name"), "%s is tied to no account", k.ID)
		checkPatterns(t, k.ID, k.Conditions)
	}
}

// checkPatterns holds that no pattern begins or ends with anything at all.
func checkPatterns(t *testing.T, id string, all []control.Condition) {
	t.Helper()
	for _, c := range all {
		checkPatterns(t, id, c.Any)
		checkPatterns(t, id, c.All)
		for _, p := range c.Matches {
			if c.Field != "reconbeat.process.starter" { // a program's name and version
				require.NotRegexp(t, `^[*?]|\*$`, p, id)
			}
		}
		if c.Regexp != "" {
			require.Regexp(t, `^\^[^|]*|^\^\(.*\)\$$`, c.Regexp, id)
			require.True(t, strings.HasSuffix(c.Regexp, "$"), "%s: %s", id, c.Regexp)
		}
	}
}

func TestKnownSoftwareThatIsOn(t *testing.T) {
	ids := func(c Controls) (ids []string) {
		items, err := c.Items(ControlFolders{}, time.UTC)
		require.NoError(t, err)
		for _, k := range items.Known {
			ids = append(ids, k.ID)
		}
		return ids
	}
	all, err := KnownSoftware()
	require.NoError(t, err)
	require.Empty(t, ids(Default().Controls))
	require.Equal(t, []string{"lynis", "rkhunter"}, ids(Controls{KnownSoftware: []string{"rkhunter", "lynis", "lynis"}}))
	require.Len(t, ids(Controls{KnownSoftware: []string{"all", "lynis"}}), len(all))
	cfg, err := Parse(conf.MustNewConfigFrom("controls.known_software: all"))
	require.NoError(t, err)
	require.Len(t, ids(cfg.Controls), len(all))

	_, err = Controls{KnownSoftware: []string{"lynis", "nagios", "Wazuh"}}.Items(ControlFolders{}, time.UTC)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 2)
	require.Regexp(t, `^reconbeat\.controls\.known_software\.1: "nagios" is not allowed; it must be one of all, wazuh-`+
		`logcollector, .*, cloud-init$`, lines[0])
	require.Contains(t, lines[1], `known_software.2: "Wazuh" is not allowed`)

	own := conf.MustNewConfigFrom(`{id: lynis, conditions: [{field: user.name, is: root}]}`)
	_, err = Controls{KnownSoftware: []string{"lynis"}, Exceptions: []*conf.C{own}}.Items(ControlFolders{}, time.UTC)
	require.EqualError(t, err, `reconbeat.controls.exceptions.0.id: "lynis" is used already in the known software that `+
		`is on; choose another`)
	beside := Controls{KnownSoftware: []string{"rkhunter"}, Exceptions: []*conf.C{own}}
	items, err := beside.Items(ControlFolders{}, time.UTC)
	require.NoError(t, err)
	require.Len(t, items.Exceptions, 1)
}

// TestAnItemWithoutSourceIsRefused holds the checks that the shipped list passes.
func TestAnItemWithoutSourceIsRefused(t *testing.T) {
	k := control.NewKnown()
	k.ID = "x"
	k.Conditions = []control.Condition{{Field: "user.name", Is: control.Texts{"x"}}}
	require.ErrorContains(t, k.Check(), "source: is missing")
	k.Source = control.Texts{"http://example.org", "https:///x"}
	require.EqualError(t, k.Check(), `source: "http://example.org" is not allowed; it must be an address such as `+
		"https://example.org/agent.sh\n"+`source: "https:///x" is not allowed; it must be an address such as `+
		"https://example.org/agent.sh")
	k.Source = control.Texts{"https://example.org/agent.sh"}
	require.NoError(t, k.Check())
}
