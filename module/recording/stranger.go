// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// strangers are the texts that people take for a log of program starts: how each begins, what it is, and what gives one
// that is read. The commands read on from where the text came from.
var strangers = []struct {
	begins *regexp.Regexp
	what   string
	remedy string
}{
	{
		begins: regexp.MustCompile(`^("?NODE"?,"?EVENT"?,"?DATE"?,|[\w.-]*,[A-Z_\d]+,[\d./-]+,\d\d:\d\d:\d\d,\d+,)`),
		what:   "what ausearch --format csv prints, which has no command lines",
		remedy: "ausearch --raw | reconbeat replay -",
	},
	{
		begins: regexp.MustCompile(`^(On \S+ a|A)t \d\d:\d\d:\d\d \S+ .*successfully `),
		what:   "what ausearch --format text prints, which has no command lines",
		remedy: "ausearch --raw | reconbeat replay -",
	},
	{
		begins: regexp.MustCompile(`^[\w ]+ (Report|Summary|events)\r?\n=+(\r?\n|$)`),
		what:   "what aureport prints, which has no command lines",
		remedy: "ausearch --raw | reconbeat replay -",
	},
	{
		begins: regexp.MustCompile(`^(No rules\r?\n|LIST_RULES: |-[aA] (always|never|exit|task|exclude|user),|-w /\S* -p )`),
		what:   "audit's rules, as auditctl -l prints them",
		remedy: "replay auditd's log, /var/log/audit/audit.log",
	},
	{
		begins: regexp.MustCompile(`^(AUDIT_STATUS: )?enabled[ =]\d\s+(flag|failure)[ =]\d`),
		what:   "audit's state, as auditctl -s prints it",
		remedy: "replay auditd's log, /var/log/audit/audit.log",
	},
	{
		begins: regexp.MustCompile(`^[^\n]* snoopy(\[\d+\])?: `),
		what:   "Snoopy's log, which has no bounds of arguments",
		remedy: haveAudit,
	},
	{
		begins: regexp.MustCompile(`^(TIME(\(s\))?\s+)?(UID\s+)?P?COMM\s+(PID|TID)\s+PPID\s|` +
			`^(Attaching \d+ probes[^\n]*\r?\n)?TIME\S*\s+(UID\s+)?PID\s+PPID\s+COMM\s`),
		what:   "what execsnoop prints, which has no bounds of arguments",
		remedy: haveAudit,
	},
	{
		begins: regexp.MustCompile(`^([\d/]+ [\d:]+ |pspy - )[^\n]*(CMD: UID=|Config: )`),
		what:   "what pspy prints, which has no parents",
		remedy: haveAudit,
	},
	{
		begins: regexp.MustCompile(`^(\[pid +\d+\] |\d+ +)?([\d:.]+ )?execve\("`),
		what:   "what strace prints, which has no users",
		remedy: haveAudit,
	},
	{
		begins: regexp.MustCompile(`^([^\n]{0,200}\n)?(#1\d{9}\r?\n\S|: 1\d{9}:\d+;)`),
		what:   "a shell's history, which has no users and no parents",
		remedy: haveAudit,
	},
	{
		begins: regexp.MustCompile(`^\S+ +[SFCDX]* +\S+ +\S+ +\d+\.\d\d secs `),
		what:   "what lastcomm prints, which has no arguments",
		remedy: haveAudit,
	},
	{
		begins: regexp.MustCompile(`^([\w.-]+ +\S+( boot)? +(\S+ +)?\w{3} \w{3} +\d+ \d\d:\d\d|Username +Port +)`),
		what:   "what last, lastlog or aulast prints, which is logins",
		remedy: haveAudit,
	},
	{
		begins: regexp.MustCompile(`Publish event: \{\r?\n`),
		what:   "the debug log of a Beat",
		remedy: `sed -n 's/.*Publish event: //; /^{/,/^}/p' FILE | reconbeat replay -`,
	},
	{
		begins: regexp.MustCompile(`^ *(UID|USER|PID|F S UID) +[A-Z%][^\n]* (CMD|COMMAND)\r?\n`),
		what:   "a list of processes, which lacks those that have ended",
		remedy: haveAudit,
	},
	{
		begins: regexp.MustCompile(`^(#\d{10}\r?\n|: \d{10}:\d+;)`),
		what:   "a shell's history, which has no users",
		remedy: haveAudit,
	},
	{
		begins: regexp.MustCompile(`^(\w{3} \w{3} +\d+ [\d:]{8} \d{4}: (Falco|Loaded|Loading|Starting) |` +
			`\d\d:\d\d:\d\d\.\d{9}: [A-Z][a-z]+ )`),
		what:   "Falco's alerts, which have no parents and no arguments",
		remedy: haveAudit,
	},
	{
		begins: regexp.MustCompile(`^\d+ \d\d:\d\d:\d\d\.\d{9} \d+ \S+ \(\d+(\.\d+)?\) [<>] `),
		what:   "what sysdig prints, which has no bounds of arguments",
		remedy: haveAudit,
	},
	{
		begins: regexp.MustCompile(`^[^\x00-\x7f]\S* +(process|exit) +\S+ /\S`),
		what:   "what tetra getevents -o compact prints, which has no users and no parents",
		remedy: haveAudit,
	},
	{
		begins: regexp.MustCompile(`^Event SYSMONEVENT_`),
		what:   "what sysmonLogView prints",
		remedy: "ship it with the integration Sysmon for Linux, and replay its documents",
	},
	{
		begins: regexp.MustCompile(`^\+-[-+]*-\+\r?\n\|`),
		what:   "a table as osqueryi and SQL's clients draw it, which has no bounds of arguments",
		remedy: haveAudit,
	},
	{
		begins: regexp.MustCompile(`^\{\s*("\w+":\s*"[^"]*",\s*)*"results":\s*\[\s*\[\s*\{\s*"field":`),
		what:   "an answer of CloudWatch Logs Insights, which has names apart from values",
		remedy: "jq -c '.results[] | map({(.field): .value}) | add' FILE | reconbeat replay -",
	},
	{
		begins: regexp.MustCompile(`^#separator `),
		what:   "a log of Zeek's, which knows of no processes",
		remedy: haveAudit,
	},
	{
		begins: regexp.MustCompile(`^\{[^\x00\n]*\}\x00\s*\{`),
		what:   "JSON documents with zero bytes between them, as GELF sends them",
		remedy: `tr '\0' '\n' < FILE | reconbeat replay -`,
	},
	{
		begins: regexp.MustCompile(`^0{7,8}:?  ?[0-9a-f]{2}`),
		what:   "bytes in hexadecimal",
		remedy: "xxd -r FILE | reconbeat replay -",
	},
	{
		begins: regexp.MustCompile("^(#[^\\n]*\n+)+\\s*[{\\[]"),
		what:   "JSON with comments, as Kibana's Dev Tools show it",
		remedy: "grep -v '^#' FILE | reconbeat replay -",
	},
	{
		begins: regexp.MustCompile(`^(#[^\n]*\n+)*(GET|POST|PUT) +\S+(\r?\n|$)`),
		what:   "a request of Kibana's Dev Tools",
		remedy: "save the answer alone, or ask with curl",
	},
	{
		begins: regexp.MustCompile(`^(HTTP/[\d.]+ \d{3}|[*] [A-Z][^\n]*\n[*<>])`),
		what:   "an answer of HTTP with its headers",
		remedy: "ask again without curl's -i and -v",
	},
	{
		begins: regexp.MustCompile(`^:\)\n`),
		what:   "an answer in SMILE, which is JSON in binary",
		remedy: "ask again without format=smile",
	},
	{
		begins: regexp.MustCompile("^(\x1b\\[[0-9;]*m)+[{\\[]"),
		what:   "JSON in a terminal's colours",
		remedy: "write it with jq -M",
	},
	{
		begins: regexp.MustCompile(`^__CURSOR=|^\w{3} \d{4}-\d\d-\d\d [^\n]*\[s=\w+;i=`),
		what:   "another form of the journal",
		remedy: "journalctl _TRANSPORT=audit -o json | reconbeat replay -",
	},
	{
		begins: regexp.MustCompile(`^[^\n]*<Event( [^>\n]*)?>\s*<System>\s*<Provider Name="Linux-Sysmon"`),
		what:   "Sysmon's XML",
		remedy: "ship it with the integration Sysmon for Linux, and replay its documents",
	},
	{
		begins: regexp.MustCompile(`^(<\?xml|<Events?[ >])`),
		what:   "XML",
		remedy: "export the documents as JSON",
	},
	{
		begins: regexp.MustCompile(`(?i)^<(!doctype )?html`),
		what:   "a page of HTML, such as a server's error",
		remedy: "look at it in a browser, and mend the export",
	},
	{
		begins: regexp.MustCompile(`^(/\*\*/)?[\w.]+\(\s*[{\[]`),
		what:   "JSON within a call (JSONP)",
		remedy: "ask again without callback",
	},
	{
		begins: regexp.MustCompile(`^"(\\+")*\{\\+"`),
		what:   "JSON in texts of JSON",
		remedy: `jq -c 'until(type != "string"; fromjson)' FILE | reconbeat replay -`,
	},
	{
		begins: regexp.MustCompile(`^\[?\{'`),
		what:   "what Python prints of a document",
		remedy: "write it with json.dumps",
	},
	{
		begins: regexp.MustCompile(`^\{\s+"[^"\n]+" => `),
		what:   "Logstash's rubydebug",
		remedy: "give the output `codec => json_lines`",
	},
	{
		begins: regexp.MustCompile(`^((---\s+)?(- )?["']?[@\w.]+["']?: \S|---\s+["']?[@\w.]+["']?:\s)`),
		what:   "YAML",
		remedy: "yq -o json -I 0 . FILE | reconbeat replay - (with Debian's yq: yq -c . FILE)",
	},
	{
		begins: regexp.MustCompile(`^(\S+ .*)?(CEF:\d|LEEF:\d)`),
		what:   "CEF or LEEF, which has no parents and no arguments",
		remedy: "export the documents as JSON of the Elastic Common Schema",
	},
	{
		begins: regexp.MustCompile(`^[ \w.@]+\|[ \w.@|]+\r?\n-+\+[-+]+\r?\n`),
		what:   "a table of SQL's, which has no bounds of arguments",
		remedy: "ask with _search, or export with elasticdump",
	},
	{
		begins: regexp.MustCompile(`^(([A-Za-z0-9+/]{60,}\r?\n){2}|[A-Za-z0-9+/]{200})`),
		what:   "encoded in base64",
		remedy: "base64 -d FILE | reconbeat replay -",
	},
	{
		begins: regexp.MustCompile(`^(<\d+>)?(\w{3} +\d+ [\d:]{8}|\d{4}-\d\d-\d\dT\S+) \S+ [^\s:]+: `),
		what:   "a log of syslog that begins without audit's records",
		remedy: "where some come further on, name --module auditlog; else " + haveAudit,
	},
}

// haveAudit gives recordings that have all that is asked for.
const haveAudit = "have auditd report program starts, and replay its log"

// stranger says what a text is that begins with the sample and that no module reads, and what gives one that is read;
// nil: nobody knows. shell is how a command names the text.
func stranger(path, shell string, sample []byte) error {
	sample = bytes.TrimSpace(bytes.TrimPrefix(sample, []byte("\xef\xbb\xbf")))
	for _, s := range strangers {
		if s.begins.Match(sample) {
			return fmt.Errorf("%s is %s: %s", path, s.what, strings.ReplaceAll(s.remedy, "FILE", shell))
		}
	}
	if isTable(sample) {
		return fmt.Errorf("%s is %w", path, ErrTable)
	}
	return nil
}

// ErrTable says that a text has documents in the columns of a table.
var ErrTable = errors.New("a table (CSV), in which times lack their zone and arguments their bounds: " +
	"export the documents as JSON, as with elasticdump --input=URL/INDEX --output=$")

// oneColumn is a table of one column, with or without its name.
var oneColumn = regexp.MustCompile(`^(("[\w.@]+"|_raw|_source)\r?\n"|"\{"")`)

// isTable says whether a text is a table: its first line names columns, and its second has as many.
func isTable(sample []byte) bool {
	names, _ := columns(sample)
	return oneColumn.Match(sample) || len(names) > 0
}

// columns are the names of a table's columns, and its first row; none where a text is not a table of several.
func columns(sample []byte) (names, first []string) {
	for _, comma := range ",;\t|" {
		in := csv.NewReader(bytes.NewReader(sample))
		in.Comma, in.FieldsPerRecord, in.LazyQuotes = comma, -1, true
		names, err := in.Read()
		if err != nil || len(names) < 2 {
			continue
		}
		named := true
		for i, name := range names {
			name = strings.TrimSpace(strings.TrimSuffix(name, " [UTC]")) // as Azure marks times
			names[i] = name
			named = named && name != "" && len(name) <= 64 && !strings.ContainsAny(name, "={}[]") &&
				!(name[0] >= '0' && name[0] <= '9')
		}
		if !named {
			continue
		}
		if first, err := in.Read(); err == nil && len(first) == len(names) {
			return names, first
		}
	}
	return nil, nil
}

// ansibles is what ansible, or salt, prints before what a host has answered.
var ansibles = regexp.MustCompile(`^(\S+ \| [A-Z]+ \| rc=\d+ >>\r?\n|[\w.-]+:\r?\n {4}type=)`)

// CheckHosts is an error where the hosts of a text's lines stand elsewhere than before them, in a column or on a line
// of their own: the lines alone would be one host's.
func (r *Recording) CheckHosts() error {
	text := bytes.TrimSpace(bytes.TrimPrefix(r.sample, utf8Mark))
	if bytes.HasPrefix(text, []byte("** Alert ")) {
		return fmt.Errorf("%s is Wazuh's alerts.log, which has hosts and records on different lines: replay archives.json "+
			"or alerts.json", r.Path)
	}
	if ansibles.Match(text) {
		return fmt.Errorf("%s is what ansible or salt prints, which has hosts and records on different lines: fetch "+
			"the log of each host, and replay one at a time", r.Path)
	}
	names, first := columns(text)
	for i, name := range names {
		switch strings.ToLower(name) {
		case "source": // of Graylog it is the host, of others the file
			if strings.ContainsAny(first[i], "/\\: ") {
				continue
			}
		case "host", "hostname", "host.name", "host.hostname", "agent.hostname", "agent.name", "beat.hostname", "computer",
			"node", "nodename", "logsource", "log.syslog.hostname", "_hostname", "_sourcehost":
		default:
			continue
		}
		return fmt.Errorf("%s is a table (CSV) with the hosts of its lines in the column %s: export it as JSON", r.Path, name)
	}
	return nil
}
