// SPDX-License-Identifier: Apache-2.0

package habit

import "unique"

// commonness is how common a value is among actors of whom nothing is known, and among intruders.
type commonness struct{ usual, intruder float64 }

// discoveryProgram is a program that intruders discover a host with, and the technique of ATT&CK (Enterprise) that
// it serves.
type discoveryProgram struct {
	program, technique string
	commonness
}

// discoveries say how likely one program of a session is to be this one: usual, of people on hosts like others, and
// intruder, of intruders who discover a host. In the sessions of honeypots uname, id, whoami, ps and w come in 9 to
// 22%; most of those are robots' and over after a download, so that who discovers by hand runs them more often.
var discoveries = []discoveryProgram{
	{"id", "T1033", commonness{0.006, 0.07}},
	{"whoami", "T1033", commonness{0.004, 0.06}},
	{"w", "T1033", commonness{0.006, 0.03}},
	{"who", "T1033", commonness{0.003, 0.02}},
	{"last", "T1033", commonness{0.002, 0.02}},
	{"lastlog", "T1033", commonness{0.0005, 0.005}},
	{"users", "T1033", commonness{0.0003, 0.003}},
	{"groups", "T1069.001", commonness{0.001, 0.008}},
	{"getent", "T1087", commonness{0.001, 0.006}},
	{"uname", "T1082", commonness{0.006, 0.06}},
	{"hostname", "T1082", commonness{0.005, 0.03}},
	{"hostnamectl", "T1082", commonness{0.001, 0.005}},
	{"lscpu", "T1082", commonness{0.001, 0.012}},
	{"nproc", "T1082", commonness{0.001, 0.008}},
	{"free", "T1082", commonness{0.004, 0.012}},
	{"uptime", "T1082", commonness{0.004, 0.012}},
	{"lsblk", "T1082", commonness{0.002, 0.006}},
	{"dmidecode", "T1082", commonness{0.0005, 0.004}},
	{"ps", "T1057", commonness{0.02, 0.06}},
	{"pstree", "T1057", commonness{0.001, 0.004}},
	{"pgrep", "T1057", commonness{0.003, 0.006}},
	{"ifconfig", "T1016", commonness{0.004, 0.03}},
	{"ip", "T1016", commonness{0.01, 0.04}},
	{"arp", "T1018", commonness{0.0007, 0.015}},
	{"route", "T1016", commonness{0.001, 0.012}},
	{"netstat", "T1049", commonness{0.003, 0.04}},
	{"ss", "T1049", commonness{0.006, 0.04}},
	{"nmap", "T1046", commonness{0.0007, 0.01}},
	{"showmount", "T1135", commonness{0.0003, 0.003}},
	{"lsmod", "T1652", commonness{0.0005, 0.005}},
	{"lspci", "T1120", commonness{0.0007, 0.005}},
	{"lsusb", "T1120", commonness{0.0005, 0.003}},
	{"locale", "T1614.001", commonness{0.0005, 0.003}},
	{"timedatectl", "T1124", commonness{0.0007, 0.002}},
	{"chage", "T1201", commonness{0.0003, 0.003}},
	{"capsh", "T1033", commonness{0.0001, 0.003}},
	{"getcap", "T1083", commonness{0.0001, 0.004}},
}

// discovery are the same by their programs.
var discovery = func() map[text]commonness {
	by := map[text]commonness{}
	for _, d := range discoveries {
		by[unique.Make(d.program)] = d.commonness
	}
	return by
}()
