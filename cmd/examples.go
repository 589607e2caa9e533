// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"strings"

	"github.com/spf13/cobra"
)

// examples are what people type, by the command. A test holds that every command has some, and that they are
// understood.
var examples = map[string][]string{
	"": {
		"reconbeat watch --demo                   see an alert now",
		"reconbeat test config -c reconbeat.yml   check a configuration",
		"reconbeat run -e -c reconbeat.yml        run as a Beat, with the log on the terminal",
	},
	"run": {
		"reconbeat run -c /etc/reconbeat/reconbeat.yml   as the service does",
		"reconbeat run -e -d reconbeat                   with the log, debugging included, on the terminal",
	},
	"watch": {
		"sudo reconbeat watch --demo                      see an alert now: run `ss -tan` in another terminal",
		"sudo reconbeat watch                             watch this host, from nothing",
		"sudo reconbeat watch --path.data watched         keep what is learned for the next time",
		"sudo reconbeat watch --format ndjson | jq .      the documents",
		"sudo reconbeat watch -c /etc/reconbeat/reconbeat.yml   with the service's modules and rules",
	},
	"replay": {
		"reconbeat replay /var/log/audit/audit.log*                 how the past would have been judged",
		"reconbeat replay --format ndjson events.ndjson | jq .      the alerts, as documents",
		"sudo reconbeat replay --learn events.ndjson                teach this host's reconbeat",
		"reconbeat replay --explain-suppressed events.ndjson        what controls hold back",
		"zcat logs.gz | reconbeat replay --module ndjson -             from a pipe",
		"sudo reconbeat replay --module elasticsearch --from now-60d   what a cluster's agents have shipped",
	},
	"model":         {"reconbeat model show", "reconbeat model explain alice"},
	"model show":    {"sudo reconbeat model show", "sudo reconbeat model show --format json | jq ."},
	"model explain": {"sudo reconbeat model explain alice", "sudo reconbeat model explain 1000"},
	"model export":  {"sudo reconbeat model export model.json"},
	"model import": {"sudo reconbeat model import model.json",
		"sudo reconbeat model import model.json --yes   in a script"},
	"model forget": {"sudo reconbeat model forget alice"},
	"model reset":  {"sudo reconbeat model reset", "sudo reconbeat model reset --yes   in a script"},
	"model revert": {"sudo reconbeat model revert              which days there are",
		"sudo reconbeat model revert 2026-11-20   go back to one"},

	"alerts": {"sudo reconbeat alerts list", "sudo reconbeat alerts show 88hzw_Qy"},
	"alerts list": {
		"sudo reconbeat alerts list --since 24h",
		"sudo reconbeat alerts list --follow",
		"sudo reconbeat alerts list --format json | jq .event.reason",
	},
	"alerts show": {
		"sudo reconbeat alerts show 88hzw_QyImae_D3EEukq", "sudo reconbeat alerts show 88hzw_Qy --format json",
	},
	"exception": {"sudo reconbeat exception from 88hzw_Qy"},
	"exception from": {
		"sudo reconbeat exception from 88hzw_Qy > /etc/reconbeat/exceptions.d/backup.yml   then review it",
		"reconbeat exception from 88hzw_Qy --in alerts.ndjson                              of another host",
	},

	"exception import": {"reconbeat exception import list.ndjson --rule network-connection-discovery > exceptions.yml"},
	"exception export": {"sudo reconbeat exception export > exceptions.ndjson"},

	"controls": {"reconbeat controls list"},
	"controls known": {
		"reconbeat controls known                                  the list, and what is on",
		"reconbeat controls known lynis > /etc/reconbeat/exceptions.d/lynis.yml   then narrow it",
	},
	"controls list": {"sudo reconbeat controls list", "sudo reconbeat controls list --format json | jq ."},

	"windows": {"reconbeat windows import maintenance.ics"},
	"windows import": {
		"reconbeat windows import maintenance.ics > maintenance.yml   review it, and save it into windows.d",
		"reconbeat windows import --timezone Europe/Berlin days.ics   where whole days begin in Berlin",
	},
	"feedback": {
		"sudo reconbeat feedback cDwRYHuI benign --note 'my new script, OPS-123'",
		"sudo reconbeat feedback cDwRYHuI malicious --by alice",
	},
	"feedback undo": {"sudo reconbeat feedback undo cDwRYHuI"},
	"feedback list": {"sudo reconbeat feedback list", "sudo reconbeat feedback list --format json"},
	"approve": {
		"sudo reconbeat approve --user tomcat --for 4h --ticket OPS-123",
		"sudo reconbeat approve --list                                what is approved, and by whom",
		"sudo reconbeat approve --revoke approval-20261128-210000-3fa4c1",
	},

	"agent": {"reconbeat agent status"},
	"agent install": {
		"sudo reconbeat agent install                            into every Agent on this host",
		"sudo reconbeat agent install --home /opt/Elastic/Agent   into this one",
		"sudo reconbeat agent install --refresh                  where it is, after an upgrade of either",
		"sudo reconbeat agent install --refresh --wait 5m        also into a version that is being unpacked",
	},
	"agent status": {"sudo reconbeat agent status"},
	"agent remove": {"sudo reconbeat agent remove"},

	"modules":         {"reconbeat modules list", "sudo reconbeat modules enable auditlog"},
	"modules list":    {"reconbeat modules list"},
	"modules enable":  {"sudo reconbeat modules enable auditlog", "sudo reconbeat modules enable ndjson auditlog"},
	"modules disable": {"sudo reconbeat modules disable auditlog"},

	"keystore": {"sudo reconbeat keystore create",
		"sudo reconbeat keystore add ES_API_KEY      then api_key: ${ES_API_KEY} in reconbeat.yml"},
	"keystore create": {"sudo reconbeat keystore create",
		"sudo reconbeat keystore create --force      in the place of the one that is there, without asking"},
	"keystore add": {"sudo reconbeat keystore add ES_API_KEY",
		"cat secret | sudo reconbeat keystore add ES_API_KEY --stdin --force      in a script"},
	"keystore remove": {"sudo reconbeat keystore remove ES_API_KEY"},
	"keystore list":   {"sudo reconbeat keystore list"},

	"setup": {
		"sudo reconbeat setup                         all but the rules",
		"sudo reconbeat setup --index-management      Elasticsearch's part alone",
		"sudo reconbeat setup --dashboards            Kibana's dashboards alone",
		"sudo reconbeat setup --rules                 the detection rules",
	},
	"export":        {"reconbeat export template", "reconbeat export config"},
	"export config": {"reconbeat export config -c reconbeat.yml"},
	"export template": {"reconbeat export template      for Kibana's Dev Tools",
		"reconbeat export template --dir assets      a file each"},
	"export ilm-policy":    {"reconbeat export ilm-policy", "reconbeat export ilm-policy --dir assets"},
	"export pipeline":      {"reconbeat export pipeline", "reconbeat export pipeline --dir assets"},
	"export index-pattern": {"reconbeat export index-pattern"},
	"export dashboard":     {"reconbeat export dashboard --id reconbeat-overview --folder dashboards"},

	"test":         {"reconbeat test config", "sudo reconbeat test modules", "sudo reconbeat test alert"},
	"test config":  {"sudo reconbeat test config", "reconbeat test config -c reconbeat.yml"},
	"test output":  {"sudo reconbeat test output"},
	"test modules": {"sudo reconbeat test modules"},
	"test notify":  {"sudo reconbeat test notify", "sudo reconbeat test notify slack"},
	"test alert": {
		"sudo reconbeat test alert", "sudo reconbeat test alert --timeout 2m",
		"sudo reconbeat test alert --exec          the whole way, from the kernel on",
	},
	"test rules": {
		"reconbeat test rules                                     what each rule means",
		"reconbeat test rules rules.d/mine.yml                    check a file",
		"reconbeat test rules -- ss -K dst 1.2.3.4                which rules match this, and why",
		"reconbeat test rules sudo-use -- sudo -l                 whether this one does",
	},
	"test controls": {
		"reconbeat test controls                                  what each control means",
		"reconbeat test controls /var/log/audit/audit.log*        and what it would hold back of the past",
	},
	"diagnostics": {"sudo reconbeat diagnostics                     a file here, named by host and time",
		"sudo reconbeat diagnostics reconbeat.zip -c reconbeat.yml"},

	"version":               {"reconbeat version", "reconbeat --version"},
	"completion":            {"source <(reconbeat completion bash)"},
	"completion bash":       {"source <(reconbeat completion bash)"},
	"completion zsh":        {"source <(reconbeat completion zsh)"},
	"completion fish":       {"reconbeat completion fish | source"},
	"completion powershell": {"reconbeat completion powershell"},
}

// pathTo is how a command is called below the root.
func pathTo(c *cobra.Command) string {
	_, below, _ := strings.Cut(c.CommandPath(), " ")
	return below
}

// exemplify gives a command and those below it their examples. In manual pages they stand as they are.
func exemplify(c *cobra.Command) {
	c.Example = "  " + strings.Join(examples[pathTo(c)], "\n  ")
	for _, below := range c.Commands() {
		if below.Name() != "help" {
			exemplify(below)
		}
	}
}
