// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAStrangerIsCalledByItsName(t *testing.T) {
	for text, want := range map[string]string{
		"NODE,EVENT,DATE,TIME,SERIAL_NUM\n,SYSCALL,03/03/26,01:06:40,501\n": "FILE is what ausearch --format csv prints, " +
			"which has no command lines: ausearch --raw | reconbeat replay -",
		"At 01:06:40 03/03/26 carol successfully executed /usr/bin/ss\n": "ausearch --format text",
		"\nExecutable Report\n================\n":                        "aureport",

		"web1,USER_LOGIN,03.03.2026,01:06:40,501,user-login,3,carol\n":              "ausearch --format csv",
		"TIME     UID   PID   PPID  COMM ARGS\n01:06:40 0 4001 3999 bash ss\n":      "execsnoop",
		"Attaching 3 probes...\nTIME        PID      PPID  COMM             ARGS\n": "execsnoop",
		"Tue Mar  3 01:06:40 2026: Falco version: 0.37.1 (x86_64)\n":                "Falco's alerts",
		"2 01:06:40.100000001 0 ss (4001) < execve res=0 exe=ss args=-tan.\n":       "what sysdig prints",
		"\U0001f680 process web1 /usr/bin/ss -tan\n":                                "tetra getevents",
		"Event SYSMONEVENT_CREATE_PROCESS\n\tRuleName: -\n":                         "sysmonLogView",
		"+------+---------+\n| pid  | path    |\n+------+---------+\n":              "as osqueryi",
		"{\n \"results\": [\n  [\n   {\n    \"field\": \"@timestamp\",\n":           "CloudWatch Logs Insights",
		`{"queryLanguage":"CWLI","results":[[{"field":"@message","value":"x"}]]}`:   "map({(.field): .value}) | add",
		"---\ncolumns:\n- name: \"@timestamp\"\n":                                   "FILE is YAML",
		"__CURSOR=s=a;i=1\n__REALTIME_TIMESTAMP=1\n":                                "another form of the journal",
		"Tue 2026-03-03 01:06:40.100000 UTC [s=ab;i=1;b=c]\n":                       "another form of the journal",

		`Mar  3 01:06:40 web1 sysmon: <Event><System><Provider Name="Linux-Sysmon"/></System></Event>`: "Sysmon's XML",

		"-w /etc/passwd -p wa -k identity\n":                                "auditctl -l",
		"-a always,exit -F arch=b64 -S execve -F key=exec\n":                "auditctl -l",
		"enabled 1\nfailure 1\npid 700\n":                                   "auditctl -s",
		"Mar  3 01:06:40 web1 snoopy[401]: [uid:1000 filename:/bin/ss]: ss": "Snoopy's log",
		"PCOMM   PID  PPID  RET ARGS\nss 4001 3999 0 /usr/bin/ss -tan\n":    "execsnoop",
		"2026/03/03 01:06:40 CMD: UID=1000  PID=4001   | ss -tan\n":         "pspy",
		"4001  execve(\"/usr/bin/ss\", [\"ss\"], 0x7f /* 9 vars */) = 0\n":  "strace",
		"ss       F   carol    pts/0      0.00 secs Tue Mar  3 01:06\n":     "lastcomm",
		"UID          PID    PPID  C STIME TTY          TIME CMD\nroot 1":   "a list of processes",
		"#1772500000\nss -tulpn\n":                                          "a shell's history",
		"01:06:40.123456789: Notice A shell was spawned (user=root)\n":      "Falco's alerts",
		"#separator \\x09\n":                                               "Zeek",
		"{\"host\":\"a\"}\x00{\"host\":\"b\"}\x00":                         `tr '\0' '\n' < FILE | reconbeat replay -`,
		"00000000: 7b22 4074 696d 6573 7461 6d70 223a  {\"@timestamp\":\n": "xxd -r FILE",
		"# GET logs-*/_search\n{\n  \"took\": 3\n":                         "grep -v '^#' FILE",
		"#! a warning\n{\n":                                                "grep -v '^#' FILE",
		"GET logs-*/_search\n{\n \"size\": 2\n}\n\n{\n":                    "a request of Kibana's Dev Tools",
		"HTTP/2 200\ncontent-type: application/json\n\n{}\n":               "without curl's -i",
		":)\n\x05\xfa":                                                  "SMILE",
		"\x1b[1;39m{\n  \x1b[0m\x1b[34;1m\"a\"":                         "jq -M",
		"\"_source\"\n\"{\"\"a\"\":1}\"\n":                              "FILE is a table (CSV)",
		"Mar  3 01:06:40 web1 sshd[39]: Accepted publickey for carol\n": "name --module auditlog",
		strings.Repeat("QUJD", 60):                                      "base64 -d FILE",

		"carol    pts/0        10.1.2.5         Tue Mar  3 01:06 - 01:20  (00:14)\n":  "logins",
		"reboot   system boot  6.1.0-40-amd64   Tue Mar  3 00:00\n":                   "logins",
		"carol    pts/0                         Tue Mar  3 01:06   still logged in\n": "logins",
		"Username         Port     From             Latest\nroot\n":                   "logins",
		"x\tINFO\tstarted\nx\tDEBUG\tPublish event: {\n  \"@timestamp\"":              "sed -n 's/.*Publish event: //",
		`"{""@timestamp"":""2026-03-03T01:06:40.000Z""}"` + "\n":                      "FILE is a table (CSV)",
		`"\"\\\"{\\\\\\\"@timestamp`:                                                  "until(type",

		"<?xml version=\"1.0\"?>\n<a/>":  "FILE is XML",
		"<!doctype html>\n<html></html>": "a page of HTML",
		`"{\"@timestamp\":1}"`: `jq -c 'until(type != "string"; fromjson)' FILE | ` +
			"reconbeat replay -",
		"{'@timestamp': 1}\n":                                              "what Python prints",
		"{\n  \"process\" => {\n":                                          "Logstash's rubydebug",
		"- \"@timestamp\": 2026-03-03T01:06:40.000Z\n":                     "FILE is YAML",
		"- '@timestamp': 2026-03-03T01:06:40.000Z\n":                       "FILE is YAML",
		"/**/found({\"hits\":{}});":                                        "JSONP",
		"#1772500000\nss -tulpn\n#1772500001\nls\n":                        "a shell's history",
		": 1772500000:0;ss -tulpn\n":                                       "a shell's history",
		"CEF:0|x|y|1|exec|3|suser=bob\n":                                   "CEF or LEEF",
		"  @timestamp  |  host.name  \n--------------+------------\nx|y\n": "a table of SQL's",

		strings.Repeat(base64.StdEncoding.EncodeToString(make([]byte, 57))+"\n", 3): "base64 -d FILE",

		"\xef\xbb\xbfTime;Host;User\r\n\"Mar 3, 2026 @ 01:06:40.000\";web;bob\r\n":         "FILE is a table (CSV)",
		"_time,_raw,host\n2026-03-03,\"type=EXECVE msg=audit(1.1:1): a0=\"\"x\"\"\",web\n": "FILE is a table (CSV)",
	} {
		err := stranger("FILE", "FILE", []byte(text))
		require.ErrorContains(t, err, want, text)
	}
	for _, text := range []string{
		"", "some prose, and more\nof it\n", "03/03-01:06:40.100 [**] [1:1:1] x [**]\n", "\x02\x03\x00\x00",
	} {
		require.NoError(t, stranger("FILE", "FILE", []byte(text)), text)
	}
}

func FuzzStranger(f *testing.F) {
	f.Add([]byte("a,b\n1,2\n"))
	f.Add([]byte("__CURSOR=s=a;i=1\n"))
	f.Add([]byte("a|b\n-+-\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := stranger("FILE", "FILE", text); err != nil && !strings.HasPrefix(err.Error(), "FILE is ") {
			t.Fatal(err)
		}
	})
}
