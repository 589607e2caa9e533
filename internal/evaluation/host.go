// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/reconbeat/reconbeat/process"
)

// start is the Monday on which every simulated host begins, in its own zone. Four weeks later Europe's clocks change,
// one week later America's.
var start = time.Date(2024, time.March, 4, 0, 0, 0, 0, time.UTC)

// The pools that everybody draws from, intruders too: no word in an event gives an attack away.
var (
	commands = []string{
		"ss -tlnp",
		"ss -s",
		"ss -tan",
		"ss -ltn",
		"ss -tunap",
		"ss -antp",
		"ss -aunp",
		"ss -nltpu",
		"ss -tp",
		"ss -plant",
		"ss",
		"ss -tulwn",
		"ss -o state established",
		"ss -ti",
		"netstat -rn",
		"netstat -tulpn",
		"netstat -an",
		"netstat -antup",
		"netstat -i",
		"netstat -s",
		"netstat -ntu",
		"netstat",
		"netstat --all --programs",
		"route -n",
		"route",
		"route -e",
		"showmount -e",
		"showmount -a",
		"showmount -e 10.0.0.7",
	}
	folders = []string{"~", "~", "~", "~", "/", "/root", "/etc", "/tmp", "/var/log", "/opt/app", "/srv/www", "/dev/shm",
		"/var/lib/app"}
	shells = []string{"/usr/bin/bash", "/usr/bin/bash", "/usr/bin/bash", "/usr/bin/zsh", "/usr/bin/sh", "/usr/bin/dash",
		"/usr/bin/fish"}
	runners = []string{"/usr/bin/sh", "/usr/bin/bash", "/usr/bin/dash", "/usr/bin/python3.11", "/usr/bin/perl",
		"/usr/bin/php8.2", "/usr/bin/node"}
	agents = []string{"/var/ossec/bin/wazuh-logcollector", "/usr/bin/check_mk_agent", "/usr/sbin/zabbix_agentd",
		"/opt/datadog-agent/bin/agent", "/usr/bin/telegraf", "/usr/sbin/needrestart"}
	zones       = []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"}
	folderOfBin = map[string]string{"route": "/usr/sbin/", "showmount": "/usr/sbin/"} // of the others: /usr/bin/
	// serviceAccounts have ids below 1000, as packages make them.
	serviceAccounts = []string{
		"www-data",
		"nginx",
		"apache",
		"postgres",
		"mysql",
		"tomcat",
		"jenkins",
		"gitlab",
		"elasticsearch",
		"kafka",
		"rabbitmq",
		"haproxy",
		"prometheus",
		"backup",
		"zabbix",
		"nagios",
		"wazuh",
		"telegraf",
		"dd-agent",
		"nobody",
	}
)

// match is one exec of a simulated host.
type match struct {
	at          time.Time
	user, login string // login is empty for daemons
	command     string
	disguise    *disguise // nil: the tool lies where its package put it
	parent      string
	tty         bool
	entry       string
	source      netip.Addr
	folder      string
	image       string  // of the container that it runs in; empty: outside of one
	attack      *attack // nil: benign
	pid         uint32
	session     uint32 // 0: none is known
}

// event is the match as a module would report it.
func (m *match) event(h *host, e *process.Event) {
	e.Reset()
	e.Kind, e.Success, e.Time, e.PID, e.Host.OSType = process.Exec, true, m.at, m.pid, "linux"
	e.Host.ID, e.Host.Name = h.name, h.name
	e.User = process.User{ID: h.uid(m.user), Name: m.user}
	e.Effective = e.User
	if m.login != "" {
		e.Session.User = process.User{ID: h.uid(m.login), Name: m.login}
	}
	e.Session.Entry, e.Session.Source = m.entry, m.source
	if m.session != 0 {
		e.Session.ID = m.session
	}
	e.Name, _, _ = strings.Cut(m.command, " ")
	e.Executable = cmp.Or(folderOfBin[e.Name], "/usr/bin/") + e.Name
	argv, home := strings.Fields(m.command), "/home/"+cmp.Or(m.login, m.user)
	if m.disguise != nil {
		argv = m.disguise.put(e, argv, home)
	}
	for _, a := range argv {
		e.AddArg(&e.Process, []byte(a))
	}
	e.CommandLine = strings.Join(argv, " ")
	e.CWD = m.folder
	if m.folder == "~" {
		e.CWD = home
	}
	e.Interactive = m.tty
	if m.tty {
		e.TTY = "pts0"
	}
	if m.image != "" {
		e.Container = process.Container{ID: m.image, Image: m.image}
	}
	e.Parent.Executable = m.parent
	e.Parent.Name = m.parent[strings.LastIndexByte(m.parent, '/')+1:]
}

// attack is one intrusion: what it did, and by which signs an observer could know it.
type attack struct {
	kind  string
	signs []string
	rule  string // the id of the rule that is to find it
}

// mission is the rule that is on by default.
const mission = "network-connection-discovery"

// host collects the matches of one simulated host.
type host struct {
	*rand.Rand
	kind, name string
	days       int // from its first Monday on
	zone       *time.Location
	began      time.Time // from when on it is watched
	everyRule  bool      // it is judged by every shipped rule, not only by those that are on by default
	// matchesOnly: what no rule means is not seen, as from a source that reports matches only
	matchesOnly bool
	matches     []match
	attacks     []*attack
	networks    []netip.Prefix // /24s that its people come from
	people      map[string]*person
	uids        map[string]uint32
	logins      uint32 // sessions so far that have a number
}

// newHost makes a host of a kind: the same one for the same seed.
func newHost(kind string, seed, days int) *host {
	hash := fnv.New64a()
	fmt.Fprint(hash, kind)
	h := &host{
		Rand:   rand.New(rand.NewPCG(hash.Sum64(), uint64(seed))),
		kind:   kind,
		name:   fmt.Sprintf("%s-%d", kind, seed),
		days:   days,
		people: map[string]*person{},
		uids:   map[string]uint32{"root": 0},
	}
	h.zone, _ = time.LoadLocation(pick(h, zones)) // they are compiled in
	h.began = h.moment(0, 0)
	for range 1 + h.IntN(3) {
		h.networks = append(h.networks,
			netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(h.IntN(250)), byte(h.IntN(250)), 0}), 24))
	}
	return h
}

func pick[T any](h *host, pool []T) T { return pool[h.IntN(len(pool))] }

// sample draws n different ones.
func sample[T any](h *host, pool []T, n int) []T {
	out := make([]T, 0, n)
	for _, i := range h.Perm(len(pool))[:n] {
		out = append(out, pool[i])
	}
	return out
}

func (h *host) chance(p float64) bool { return h.Float64() < p }

func (h *host) between(lo, hi float64) float64 { return lo + h.Float64()*(hi-lo) }

func (h *host) poisson(mean float64) (n int) {
	for p, limit := h.Float64(), math.Exp(-mean); p > limit; n++ {
		p *= h.Float64()
	}
	return n
}

// around is a triangular draw: most often in the middle.
func (h *host) around(lo, hi float64) float64 { return lo + (h.Float64()+h.Float64())/2*(hi-lo) }

func (h *host) uid(user string) uint32 {
	if id, known := h.uids[user]; known {
		return id
	}
	if i := slices.Index(serviceAccounts, user); i >= 0 {
		return uint32(100 + i)
	}
	h.uids[user] = uint32(1000 + len(h.uids))
	return h.uids[user]
}

// moment is a time of the host's own clock: a day since its start and an hour.
func (h *host) moment(day int, hour float64) time.Time {
	return time.Date(start.Year(), start.Month(), start.Day()+day, 0, 0, int(hour*3600), 0, h.zone)
}

// end is when the stream does.
func (h *host) end() time.Time { return h.moment(h.days, 0) }

// months is for how long the host is watched, in months of 30 days.
func (h *host) months() float64 { return h.end().Sub(h.began).Hours() / 24 / 30 }

// address is one in the network of a prefix.
func (h *host) address(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	a[3] = byte(2 + h.IntN(250))
	return netip.AddrFrom4(a)
}

// elsewhere is an address outside the host's networks: a home, a hotel, a phone; an intruder's, too.
func (h *host) elsewhere() netip.Addr {
	return netip.AddrFrom4([4]byte{byte(20 + h.IntN(200)), byte(h.IntN(256)), byte(h.IntN(256)), byte(1 + h.IntN(250))})
}

func (h *host) exec(m match) {
	if m.at.Before(h.began) || !m.at.Before(h.end()) {
		return
	}
	m.at = m.at.Truncate(time.Millisecond)
	m.pid = uint32(1000 + h.IntN(4_000_000))
	h.matches = append(h.matches, m)
}

// newSession is the number of a further login session.
func (h *host) newSession() uint32 {
	h.logins++
	return h.logins
}

// sorted puts the matches in order of time.
func (h *host) sorted() {
	slices.SortStableFunc(h.matches, func(a, b match) int { return a.at.Compare(b.at) })
}

// person is somebody with a login; what they prefer is drawn once, from the pools that everybody draws from.
type person struct {
	name     string
	commands []string
	folders  []string
	shell    string
	sudo     float64 // share of matches as root
	hours    [2]float64
	night    float64 // sessions a week at any hour, for one a week by day
	sources  []netip.Addr
	travel   float64   // share of sessions from elsewhere
	remote   float64   // share of sessions without a terminal: ssh host command
	explores float64   // share of commands that are new to them
	weekend  float64   // sessions on a day of the weekend, for one on a working day
	pool     []string  // of commands that are new to them; nil: commands
	disguise *disguise // where they keep tools of their own; nil: nowhere
	own      float64   // share of matches with those
}

var workingHours = [][2]float64{{8, 17}, {9, 18}, {7, 16}, {10, 20}}

func (h *host) newPerson(name string) *person {
	p := &person{
		name:     name,
		commands: sample(h, commands, 3+h.IntN(6)),
		shell:    pick(h, shells),
		sudo:     pick(h, []float64{0, 0.2, 0.5, 0.9}),
		hours:    pick(h, workingHours),
		night:    pick(h, []float64{0, 0.02, 0.02, 0.1}),
		travel:   0.03,
		remote:   0.08,
		explores: pick(h, []float64{0.03, 0.1, 0.2}),
		weekend:  0.05,
	}
	for range 5 {
		p.folders = append(p.folders, pick(h, folders))
	}
	for range pick(h, []int{1, 1, 2, 3}) {
		p.sources = append(p.sources, h.address(pick(h, h.networks)))
	}
	h.people[name] = p
	return p
}

// works has a person run the tools, perWeek sessions a week, on the days from first until last.
func (h *host) works(p *person, perWeek float64, first, last int) {
	for d := first; d < min(last, h.days); d++ {
		rate := perWeek / 5
		if d%7 >= 5 {
			rate *= p.weekend
		}
		for range h.poisson(rate) {
			h.session(p, d, h.around(p.hours[0], p.hours[1]), 4)
		}
		if h.chance(p.night * perWeek / 7) {
			h.session(p, d, h.between(0, 24), 4)
		}
	}
}

func (h *host) person(name string, perWeek float64) *person {
	p := h.newPerson(name)
	h.works(p, perWeek, 0, h.days)
	return p
}

// session is one visit of a person, of at most so many matches.
func (h *host) session(p *person, day int, hour float64, most int) {
	at, source, tty, folder := h.moment(day, hour), pick(h, p.sources), !h.chance(p.remote), pick(h, p.folders)
	if h.chance(p.travel) {
		source = h.elsewhere()
	}
	for range 1 + h.IntN(most) {
		m := match{
			at:      at,
			user:    p.name,
			login:   p.name,
			command: pick(h, p.commands),
			parent:  p.shell,
			tty:     tty,
			entry:   process.EntrySSHD,
			source:  source,
			folder:  folder,
		}
		if h.chance(p.explores) {
			if p.pool == nil {
				p.pool = commands
			}
			m.command = pick(h, p.pool)
		}
		if p.own > 0 && h.chance(p.own) {
			m.disguise = p.disguise
		}
		if !tty {
			m.parent = "/usr/bin/bash"
		}
		if h.chance(p.sudo) {
			m.user, m.parent = "root", "/usr/bin/sudo"
		}
		h.exec(m)
		at = at.Add(time.Duration(h.ExpFloat64() * 40 * float64(time.Second)))
	}
}

// agent is a daemon that runs a tool at a steady pace.
func (h *host) agent(every time.Duration, user string, first, last int) {
	command, parent := pick(h, commands), pick(h, agents)
	h.polls(poll{
		every:   every,
		user:    user,
		command: command,
		parent:  parent,
		from:    h.moment(first, 0),
		to:      h.moment(last, 0),
	})
}

// poll is a daemon or a job that runs a tool at a steady pace.
type poll struct {
	every                        time.Duration
	user, command, parent, entry string // entry: init where it is empty
	image                        string // of its container; empty: it runs outside of one
	disguise                     *disguise
	from, to                     time.Time // to: zero for the host's end
}

func (h *host) polls(p poll) {
	if p.to.IsZero() {
		p.to = h.end()
	}
	m := match{
		user:     p.user,
		command:  p.command,
		parent:   p.parent,
		disguise: p.disguise,
		entry:    cmp.Or(p.entry, process.EntryInit),
		image:    p.image,
		folder:   "/",
	}
	for at := p.from.Add(time.Duration(h.Float64() * float64(p.every))); at.Before(p.to); at = at.Add(p.every) {
		m.at = at.Add(time.Duration(h.between(-2, 2) * float64(time.Second)))
		h.exec(m)
	}
}

// job is what a service account or a pipeline does: bursts without a terminal.
type job struct {
	user, login string
	perDay      float64
	commands    []string
	parent      string
	burst       int
	hours       [2]float64
	entry       string
	image       string // of its container; empty: it runs outside of one
	first, last int
}

func (h *host) job(j job) {
	if j.commands == nil {
		j.commands = sample(h, commands, 1+h.IntN(3))
	}
	j.parent = cmp.Or(j.parent, pick(h, runners))
	j.entry = cmp.Or(j.entry, process.EntryInit)
	if j.hours[1] == 0 {
		j.hours[1] = 24
	}
	if j.last == 0 {
		j.last = h.days
	}
	folder := pick(h, folders)
	for d := j.first; d < j.last; d++ {
		for range h.poisson(j.perDay) {
			at := h.moment(d, h.between(j.hours[0], j.hours[1]))
			for range 1 + h.IntN(max(1, j.burst)) {
				h.exec(match{
					at:      at,
					user:    j.user,
					login:   j.login,
					command: pick(h, j.commands),
					parent:  j.parent,
					entry:   j.entry,
					folder:  folder,
					image:   j.image,
				})
				at = at.Add(time.Duration(h.between(1, 20) * float64(time.Second)))
			}
		}
	}
}

// someday adds a job on one day, now and then: benign, and at its first run no different from an intruder who got that
// account.
func (h *host) someday(chance float64) {
	if h.chance(chance) {
		h.job(job{
			user:   pick(h, []string{"root", "backup", "deploy"}),
			perDay: pick(h, []float64{0.3, 1, 4}),
			burst:  3,
			first:  int(h.between(0.1, 0.9) * float64(h.days)),
		})
	}
}
