// SPDX-License-Identifier: Apache-2.0

package ecs

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/process"
)

const at = `"@timestamp":1700000000000,`

// Agents have many words for an exec; category and type are what they agree on.
func TestOtherAgentsWordsForAnExec(t *testing.T) {
	// Sysmon, CrowdStrike, SentinelOne, Endgame, auditd_manager with SELinux; auditbeat 7.3 and 6.8 below.
	const start = `"event.category":["process"],"event.type":["start"],"process":{"name":"ss","pid":7}`
	for doc, want := range map[string]process.Kind{
		`"event.action":"log",` + start:                                                                     process.Exec,
		`"event.action":"ProcessRollup2",` + start:                                                          process.Exec,
		`"event.action":"start",` + start:                                                                   process.Exec,
		`"event.action":"exec_event",` + start:                                                              process.Exec,
		`"event.action":"violated-selinux-policy",` + start:                                                 process.Exec,
		`"event.action":"Process Create (rule: ProcessCreate)",` + start:                                    process.Exec,
		`"event.action":["created","seen"],` + start:                                                        process.Exec,
		`"event.action":"fork_event",` + start:                                                              process.Fork,
		`"event.action":"fork",` + start:                                                                    process.Fork,
		`"event.action":"already_running",` + start:                                                         0,
		`"event.action":"existing_process",` + start:                                                        0,
		`"event.action":"SyntheticProcessRollup2",` + start:                                                 0,
		`"event.action":"log","event.category":"process","event.type":"end","process.pid":7`:                process.Exit,
		`"event.action":"log","event.category":"process","event.type":"info","process.pid":7`:               0,
		`"event.action":"connected-to","event.category":"network","event.type":"start","process.name":"ss"`: 0,
		`"event.action":"executed","event.category":"audit-rule","process.name":"ss"`:                       process.Exec,
		`"event.action":"executed","event.category":"audit-rule","event.type":"syscall",` +
			`"process.name":"ss"`: process.Exec,
		// Elastic's rules take process_started, too; Endgame has creation.
		`"event.action":"log","event.category":"process","event.type":["process_started"],"process.name":"ss"`: process.Exec,
		`"event.action":"log","event.category":"process","event.type":"process_start","process.name":"ss"`:     process.Exec,
		`"event.action":"log","event.category":"process","event.type":"creation","process.name":"ss"`:          process.Exec,
		`"event.action":"log","event.category":"process","event.type":"termination","process.pid":7`:           process.Exit,
		// A line of a log, and Metricbeat's metric, are no execs.
		`"message":"hello","process":{"name":"ss","pid":7}`:                                        0,
		`"message":"hello","process":{"name":"ss","pid":7,"command_line":"ss -t"}`:                 process.Exec,
		`"metricset.name":"process","process":{"name":"ss","pid":7,"command_line":"ss -t"}`:        0,
		`"event.action":"process_error","event.kind":"error","process.name":"ss"`:                  0,
		`"event.action":"log",` + start + `,"process.name":"x","auditd.log.record_type":"SYSCALL"`: 0,
	} {
		assert.Equal(t, want, decode(t, "{"+at+doc+"}").Kind, doc)
	}
}

func TestOtherSystemsAreKnownWithoutTheirType(t *testing.T) {
	const exec = `"event.action":"exec","process.name":"netstat",`
	for doc, foreign := range map[string]bool{
		`"host.os.type":"Linux"`: false, `"host.os.type":"Windows"`: true,
		`"host.os.platform":"darwin"`: true, `"host.os.family":"windows"`: true, `"host.os.name":"macOS"`: true,
		`"host.os.name":"Windows Server 2022"`: true, `"host.os.name":"Mac OS X"`: true,
		`"host.os.full":"macOS 14.1"`: true, `"host.os.full":"Windows 11 Pro"`: true, `"host.os.full":"Debian 12"`: false,
		`"host.os.platform":"ubuntu","host.os.family":"debian","host.os.name":"Ubuntu"`:            false,
		`"process.executable":"C:\\Windows\\System32\\NETSTAT.EXE"`:                                true,
		`"process.executable":"/usr/sbin/netstat","process.parent.executable":"/System/Library/x"`: true,
		`"process.executable":"/usr/bin/netstat","process.parent.executable":"/usr/bin/bash"`:      false,
		`"host.os.type":"linux","process.parent.executable":"/Users/x"`:                            false,
		`"host.os.type":"macos"`: true,
	} {
		var d Decoder
		var e process.Event
		require.NoError(t, d.Decode([]byte("{"+at+exec+doc+"}"), &e), doc)
		assert.Equal(t, foreign, e.Kind == 0, doc)
		what, known := d.Other()
		assert.Equal(t, foreign, what == string(otherSystem) && known, doc)
	}
}

func TestTheWordsOfACommandLineAreTheArguments(t *testing.T) {
	for line, want := range map[string][]string{
		`ss -tunap`:                    {"ss", "-tunap"},
		`  ss   -t  `:                  {"ss", "-t"},
		`sh -c \"ss -tan; id\"`:        {"sh", "-c", "ss -tan; id"},
		`sh -c 'ss -tan' --name='a b'`: {"sh", "-c", "ss -tan", "--name=a b"},
		`grep it's`:                    {"grep", "it's"},
		`ss ''`:                        {"ss", ""},
	} {
		e := decode(t, "{"+at+`"event.action":"exec","process.command_line":"`+line+`"}`)
		assert.Equal(t, want, e.Args, line)
		assert.Equal(t, want[0], e.Name, line)
		assert.Equal(t, len(want), e.ArgsCount, line)
	}
	e := decode(t, "{"+at+`"process":{"command_line":"ss -t; x","args":["ss","-t;"]}}`)
	assert.Equal(t, []string{"ss", "-t;"}, e.Args)
	for text, want := range map[string][]string{
		`[\"sh\",\"-c\",\"ss -t\"]`: {"sh", "-c", "ss -t"}, // as a column of a table has a list
		`[\"sh\" -c`:                {`["sh"`, "-c"},
	} {
		assert.Equal(t, want, decode(t, "{"+at+`"process":{"name":"sh","args":"`+text+`"}}`).Args, text)
	}
}

// Some agents have the path where the name should be.
func TestAPathInThePlaceOfANameIsTheExecutable(t *testing.T) {
	e := decode(t, `{`+at+`"event.action":"exec","process":{"name":"/usr/bin/ss","parent":{"name":"/bin/sh"}}}`)
	assert.Equal(t, []string{"ss", "/usr/bin/ss"}, []string{e.Name, e.Executable})
	assert.Equal(t, []string{"/bin/sh", ""}, []string{e.Parent.Name, e.Parent.Executable}, "it may call itself so")
	e = decode(t, `{`+at+`"event.action":"exec","process":{"name":"/opt/x: worker 1"}}`)
	assert.Equal(t, []string{"/opt/x: worker 1", ""}, []string{e.Name, e.Executable}, "a title of its own")
	e = decode(t, `{`+at+`"event.action":"exec","process":{"name":"/usr/bin/ss","executable":"/opt/x"}}`)
	assert.Equal(t, []string{"x", "/opt/x"}, []string{e.Name, e.Executable})
}

func TestNumbersOfDigitsAreTimes(t *testing.T) {
	for text, want := range map[string]string{
		`1700000000`: "2023-11-14T22:13:20Z", `1700000000.25`: "2023-11-14T22:13:20.25Z",
		`"1700000000"`: "2023-11-14T22:13:20Z", `1700000000123`: "2023-11-14T22:13:20.123Z",
		`1700000000123.5`: "2023-11-14T22:13:20.1235Z", `1700000000123456`: "2023-11-14T22:13:20.123456Z",
		`1700000000123456789`: "2023-11-14T22:13:20.123456789Z",
	} {
		e := decode(t, `{"@timestamp":`+text+`,"process.name":"ss"}`)
		assert.Equal(t, want, e.Time.Format("2006-01-02T15:04:05.999999999Z07:00"), text)
	}
}

func TestTheFirstOfAListOfObjectsCounts(t *testing.T) {
	e := decode(t, "{"+at+`"event.action":"exec","process":[{"name":"ss","args":["ss","-t"]},{"name":"x","pid":9}],`+
		`"user":[1,{"id":"33"},{"id":"34"}],"host":[]}`)
	assert.Equal(t, "ss", e.Name)
	assert.Equal(t, []string{"ss", "-t"}, e.Args)
	assert.Zero(t, e.PID)
	assert.EqualValues(t, 33, e.User.ID)
}

// Where host.* names none, what else does is the host: else the documents of several would be one's.
func TestAHostIsKnownByWhatElseNamesIt(t *testing.T) {
	for doc, want := range map[string]string{
		`"host":"east"`: "east", `"host":["east"]`: "east", `"hostname":"east"`: "east",
		`"beat":{"hostname":"east","name":"x"}`: "east", `"agent":{"name":"x","hostname":"east"}`: "east",
		`"agent.name":"east"`: "east", `"kubernetes":{"node":{"name":"east"}}`: "east",
		`"agent":{"name":"collector"},"host":{"name":"east"}`: "east",
		`"agent":{"name":"collector"},"host":{"id":"5"}`:      "",
		`"host":[{"name":"east"}]`:                            "east",
	} {
		e := decode(t, "{"+at+`"event.action":"exec","process.name":"ss",`+doc+"}")
		assert.Equal(t, want, e.Host.Name, doc)
	}
}

// Somebody is better than nobody: all matches of nobody belong to one actor.
func TestAUserIsKnownByWhatElseNamesThem(t *testing.T) {
	for doc, want := range map[string]string{
		`"user":"carol"`: "carol", `"process":{"user":"carol"}`: "carol", `"user":["carol"]`: "carol",
		`"process":{"user":{"name":"carol"}}`: "carol", `"user":{"effective":{"name":"carol"}}`: "carol",
		`"process":{"user":{"name":"root"},"real_user":{"name":"carol"}}`: "carol",
		`"user":{"name":"carol"},"process":{"user":"root"}`:               "carol",
	} {
		e := decode(t, "{"+at+`"event.action":"exec","process.name":"ss",`+doc+"}")
		assert.Equal(t, want, e.User.Name, doc)
	}
}

// Discover ships a hit's fields as lists; what a user's own object fields holds is none of the document.
func TestFieldsAreOfAHitAlone(t *testing.T) {
	e := decode(t, `{"_index":"x","_id":"y","fields":{"@timestamp":["2023-11-14T22:13:20Z"],"process.name":["ss"]}}`)
	assert.Equal(t, "ss", e.Name)
	assert.Equal(t, process.Origin{Index: "x", ID: "y"}, e.Origin)
	e = decode(t, "{"+at+`"process.name":"ss","fields":{"process.name":"x","user.name":"y"}}`)
	assert.Equal(t, "ss", e.Name)
	assert.Empty(t, e.User.Name)
	e = decode(t, `{"_index":"x","_source":{`+at+`"process.name":"ss","process.args":["ss"]},`+
		`"fields":{"process.name":["x"]}}`)
	assert.Equal(t, "ss", e.Name)
	for _, source := range []string{`{}`, `null`, `{"process":{"args":["ss","-t"]}}`} { // as Discover copies it
		e = decode(t, `{"_index":"x","_source":`+source+`,"fields":{"@timestamp":["2023-11-14T22:13:20Z"],`+
			`"process.name":["ss"],"user.name":["carol"]}}`)
		assert.Equal(t, []string{"ss", "carol"}, []string{e.Name, e.User.Name}, source)
	}
}

func TestAMessageThatIsADocumentIsTheDocument(t *testing.T) {
	const inner = `{\"@timestamp\":1600000000000,\"event\":{\"action\":\"exec\"},\"process\":{\"name\":\"ss\"}}`
	e := decode(t, "{"+at+`"host":{"name":"web-01"},"message":"`+inner+`"}`)
	assert.Equal(t, process.Exec, e.Kind)
	assert.Equal(t, "web-01", e.Host.Name, "what ships it says whose it is")
	assert.EqualValues(t, 1600000000, e.Time.Unix())
	docker, err := json.Marshal(`{"log":"` + inner + `\n","stream":"stdout"}`)
	require.NoError(t, err)
	e = decode(t, `{"_index":"x","_id":"y","_source":{`+at+`"message":"`+inner+`"}}`)
	assert.Equal(t, process.Origin{Index: "x", ID: "y"}, e.Origin)
	e = decode(t, "{"+at+`"host":{"name":"web-01"},"message":`+string(docker)+`}`)
	assert.Equal(t, process.Exec, e.Kind, "of Docker's log, that Filebeat ships")
	assert.EqualValues(t, 1600000000, e.Time.Unix())
	assert.Equal(t, "web-01", e.Host.Name)
	e = decode(t, "{"+at+`"process.name":"x","message":"`+inner+`"}`)
	assert.Equal(t, "x", e.Name, "a document of a process is itself")
	for doc, known := range map[string]bool{
		`"message":"{torn"`: false, `"message":"{\"a\":1}"`: false, `"message":"type=SYSCALL msg=audit(1.1:1): a"`: false,
		`"event.kind":"metric","message":"{\"a\":1}"`: true, `"auditd.log.record_type":"EXECVE"`: false,
		`"event.category":"file"`: true,
	} {
		var d Decoder
		require.NoError(t, d.Decode([]byte("{"+at+doc+"}"), e), doc)
		assert.Zero(t, e.Kind, doc)
		assert.EqualValues(t, 1700000000, e.Time.Unix(), doc)
		what, is := d.Other()
		assert.Equal(t, known, is, doc)
		assert.NotEmpty(t, what, doc)
	}
}

// auditbeat 6 had other names for who did what.
func TestFormerNamesOfAuditbeat(t *testing.T) {
	e := decode(t, "{"+at+`"event":{"module":"auditd","category":"audit-rule","type":"syscall","action":"executed"},`+
		`"process":{"exe":"/usr/bin/ss","cwd":"/root","ppid":"41","pid":"42","name":"ss"},`+
		`"user":{"auid":"1000","uid":"0","euid":"0","name_map":{"auid":"carol","uid":"root"}}}`)
	assert.Equal(t, process.Exec, e.Kind)
	assert.Equal(t, "/usr/bin/ss", e.Executable)
	assert.Equal(t, "/root", e.CWD)
	assert.EqualValues(t, 41, e.PPID)
	assert.Equal(t, process.User{ID: 1000, Name: "carol"}, e.Session.User)
	assert.Equal(t, process.User{ID: 0, Name: "root"}, e.User)
}
