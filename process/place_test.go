// SPDX-License-Identifier: Apache-2.0

package process

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhereUsersPutPrograms(t *testing.T) {
	for want, paths := range map[string][]string{
		InMemory:    {"/memfd:ss", "memfd:ss"},
		InTemporary: {"/tmp/ss", "/dev/shm/ss", "/var/crash/ss", "/var/spool/samba/ss", "/run/user/1000/ss", "/run/lock/ss"},
		InHome: {
			"/home/ann/ss", "/root/ss", "/var/www/html/up/ss", "/srv/http/ss", "/srv/ftp/ss", "/var/lib/postgresql/15/ss",
			"/var/lib/tomcat9/ss",
		},
		InHidden: {"/opt/.x/ss", "/usr/lib/.ss"},
		// Agents and their upgrades lie there; Event.Place knows more.
		"": {
			"/usr/bin/ss", "/usr/local/bin/ss", "/opt/agent/bin/agent", "/srv/agent/agent", "/data/agent", "/snap/x/1/agent",
			"/var/lib/waagent/bin/agent", "/var/lib/rancher/k3s/data/current/bin/k3s", "/var/lib/docker/overlay2/a/diff/ss",
			"/var/lib/zabbix/agent", "/run/agent", "",
		},
	} {
		for _, path := range paths {
			require.Equal(t, want, Place(path), path)
		}
	}
}
