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

// TestTheRoleInstallsConfiguresAndRemoves plays the role against a copy of this host: what it would do, what it does,
// and that the second time there is nothing left to do.
func TestTheRoleInstallsConfiguresAndRemoves(t *testing.T) {
	need(t, "ansible-playbook", "dpkg")
	t.Parallel()
	deb := distribution(t, "deb")
	h := newHost(t)
	h.bring(deb)
	h.bring(deb + ".sha512")
	require.NoError(t, os.CopyFS(filepath.Join(h.root, "srv/ansible"), os.DirFS("ansible")))
	number := strings.Split(filepath.Base(deb), "-")[1]
	const secret, other = "S3cretOfTheOutput", "S3cretOfTheKeystore"
	vars := `
reconbeat_version: ` + number + `
reconbeat_source: /srv
reconbeat_output:
  elasticsearch: {hosts: ["http://127.0.0.1:9"], api_key: "ID:` + secret + `", headers: {X-Team: "${TEAM_TOKEN}"}}
reconbeat_keystore: {TEAM_TOKEN: ` + other + `}
reconbeat_modules: [{module: auditlog}]
reconbeat_detector: {rules: [{id: network-connection-discovery, threshold: 60}]}
reconbeat_settings: {tags: [dmz], logging.level: warning}
reconbeat_rules:
  who: |
    id: who
    name: Unusual listing of who is logged in
    version: 1
    enabled: true
    description: An account that does not look at who is logged in does so.
    habit: looked at who is logged in
    programs: [w, who]
    threshold: 25
    severity: low
    risk_score: 21
reconbeat_exceptions:
  backup: |
    - {id: backup, expires: 2099-01-01, conditions: [{field: process.parent.executable, is: /opt/backup/check}]}
reconbeat_windows:
  patching: |
    - id: patching
      timezone: Europe/Berlin
      start: 2026-12-01T22:00
      duration: 4h
      rrule: FREQ=MONTHLY;BYDAY=1TU
      conditions: [{field: user.name, is: root}]
reconbeat_onboarding:
  team: |
    - {id: team, days: 14, groups: [ops]}
reconbeat_controls: {known_software: [sos-report]}
`
	h.write("/srv/vars.yml", vars)
	play := func(args ...string) string {
		t.Helper()
		out := h.run(
			"ansible-playbook",
			append(
				[]string{"-i", "localhost,", "-c", "local", "-e", "@/srv/vars.yml", "--diff", "/srv/ansible/site.yml"},
				args...)...)
		assert.Regexp(t, `failed=0`, out)
		assert.NotContains(t, out, secret, "what is secret is not printed")
		assert.NotContains(t, out, other, "what is secret is not printed")
		return out
	}
	assert.Regexp(t, `would be installed from /srv`, play("--check"), "on a host that has nothing yet")
	require.Empty(t, h.files())

	assert.Regexp(t, `changed=[1-9]`, play())
	assert.Equal(t, "-rw------- 0:0", h.files()["/etc/reconbeat/reconbeat.yml"])
	assert.Equal(t, "TEAM_TOKEN\n", h.run("reconbeat", "keystore", "list"))
	assert.Contains(t, h.run("reconbeat", "test", "config"), "Config OK", "what the keystore has is set")
	rules := h.run("reconbeat", "test", "rules")
	assert.Regexp(t, `on +network-connection-discovery +threshold 60`, rules)
	assert.Regexp(t, `on +who +threshold 25`, rules)
	controls := h.run("reconbeat", "test", "controls")
	for _, control := range []string{"exception +backup", "window +patching", "onboarding +team",
		"known_software +sos-report"} {
		assert.Regexp(t, "on +"+control, controls)
	}
	assert.Contains(t, h.run("reconbeat", "modules", "list"), "Disabled:\n", "modules.d is managed as without the role")
	assert.Regexp(t, `changed=0 `, play("--check"), "what is done would not be done again")
	assert.Regexp(t, `changed=0 `, play(), "nor is it")

	h.write("/srv/vars.yml", strings.Replace(vars, "dmz", "core", 1))
	assert.Regexp(t, `changed=[12] `, play("--check"))
	assert.NotContains(t, h.read("/etc/reconbeat/reconbeat.yml"), "core")
	play()
	assert.Contains(t, h.read("/etc/reconbeat/reconbeat.yml"), "core")

	assert.Regexp(t, `changed=1 `, play("-e", "reconbeat_state=absent"))
	assert.Contains(t, h.files(), "/etc/reconbeat/reconbeat.yml", "what was configured stays")
	assert.Regexp(t, `changed=1 `, play("-e", "reconbeat_state=purged"))
	assert.Empty(t, h.files())
	assert.Regexp(t, `changed=0 `, play("-e", "reconbeat_state=purged"))
}
