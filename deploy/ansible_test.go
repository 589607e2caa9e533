// SPDX-License-Identifier: Apache-2.0

package deploy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTheRoleInstallsAndConfigures plays the role against a copy of this host, twice: the second time there is nothing left to do.
func TestTheRoleInstallsAndConfigures(t *testing.T) {
	need(t, "ansible-playbook", "dpkg")
	t.Parallel()
	deb := distribution(t, "deb")
	h := newHost(t)
	if present := h.files(); len(present) > 0 {
		t.Skipf("SKIPPED: RECONBEAT IS INSTALLED ON THIS HOST: %v", present)
	}
	h.bring(deb)
	h.bring(deb + ".sha512")
	require.NoError(t, os.CopyFS(filepath.Join(h.root, "srv/ansible"), os.DirFS("ansible")))
	number := strings.Split(filepath.Base(deb), "-")[1]
	h.write("/srv/vars.yml", `
reconbeat_version: `+number+`
reconbeat_source: /srv
reconbeat_output: {file: {path: /var/log/reconbeat, filename: alerts}}
reconbeat_modules: [{module: auditlog}]
reconbeat_detector: {rules: [{id: network-connection-discovery, threshold: 60}]}
reconbeat_settings: {tags: [dmz], logging.level: warning}
reconbeat_rules:
  who: |
    id: who
    name: Unusual look at who is logged in
    version: 1
    enabled: true
    description: An account that does not look at who is logged in does so.
    habit: looked at who is logged in
    programs: [w, who]
    threshold: 25
    severity: low
    risk_score: 21
`)
	play := func() string {
		return h.run("ansible-playbook", "-i", "localhost,", "-c", "local", "-e", "@/srv/vars.yml", "/srv/ansible/site.yml")
	}
	first := play()
	assert.Regexp(t, `failed=0`, first)
	assert.Regexp(t, `changed=[1-9]`, first)
	assert.Equal(t, "-rw------- 0:0", h.files()["/etc/reconbeat/reconbeat.yml"])
	assert.Contains(t, h.run("reconbeat", "test", "config"), "Config OK")
	rules := h.run("reconbeat", "test", "rules")
	assert.Regexp(t, `on +network-connection-discovery +threshold 60`, rules)
	assert.Regexp(t, `on +who +threshold 25`, rules)
	assert.Regexp(t, `changed=0 .*failed=0`, play(), "what is done is not done again")
}
