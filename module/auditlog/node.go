// SPDX-License-Identifier: Apache-2.0

package auditlog

import (
	"bufio"
	"net"
	"os"
	"strings"
)

// auditdConfiguration is where auditd's settings are.
const auditdConfiguration = "/etc/audit/auditd.conf"

// nodesKnown bounds how many nodes are remembered.
const nodesKnown = 1 << 14

// ownNode says of a name behind `node=`, which auditd writes as its name_format says, whether it is this host's: its
// host name, that with a domain, an address of its own, or the name that auditd's settings give it.
func ownNode() func(node []byte) bool {
	names := map[string]bool{}
	short := ""
	if name, err := os.Hostname(); err == nil {
		names[strings.ToLower(name)] = true
		first, _, domain := strings.Cut(name, ".")
		names[strings.ToLower(first)] = true
		if !domain {
			short = first
		}
	}
	if addresses, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addresses {
			if ip, ok := a.(*net.IPNet); ok {
				names[ip.IP.String()] = true
			}
		}
	}
	if name := configuredName(); name != "" {
		names[strings.ToLower(name)] = true
	}
	known := map[string]bool{} // so that nothing is allocated for a node that was seen before
	return func(node []byte) bool {
		own, ok := known[string(node)]
		if !ok {
			name := strings.ToLower(string(node))
			first, _, domain := strings.Cut(name, ".")
			own = names[name] || domain && short != "" && strings.EqualFold(first, short)
			if len(known) < nodesKnown {
				known[string(node)] = own
			}
		}
		return own
	}
}

// configuredName is the name that auditd's settings give this host; empty: none.
func configuredName() string {
	f, err := os.Open(auditdConfiguration)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, ok := strings.Cut(lines.Text(), "=")
		if ok && strings.EqualFold(strings.TrimSpace(key), "name") {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
