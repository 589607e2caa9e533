// SPDX-License-Identifier: Apache-2.0

package habit

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/process"
)

// contained puts an exec into a container of an image.
func contained(e *process.Event, image string) *process.Event {
	e.Container = process.Container{ID: image, Image: image}
	e.Session.Entry = process.EntryContainer
	return e
}

// cameBy says how a daemon's exec came in.
func cameBy(e *process.Event, entry string) *process.Event {
	e.Session.Entry = entry
	return e
}

// node is a host of ten weeks on which root's agent looks every ten minutes, a job of cron every night, and of each
// image, one more a week, root's shell once a day.
func node(images int) (*Model, time.Time) {
	m := New(options)
	end := monday.AddDate(0, 0, 70)
	learn := func(e *process.Event) {
		l := matchOf(e)
		m.Learn(&l, m.Judge(&l), Lesson{})
	}
	for at := monday; at.Before(end); at = at.Add(10 * time.Minute) {
		learn(service(at, "root", "check_mk_agent", "ss -s"))
		if at.Minute() != 0 {
			continue
		}
		switch at.Hour() {
		case 3:
			learn(cameBy(service(at, "root", "bash", "ss -tan"), process.EntryCron))
		case 13:
			for i := range min(images, 1+int(at.Sub(monday)/(7*day))) {
				learn(contained(service(at, "root", "sh", "ss -tan"), fmt.Sprint("image-", i)))
			}
		}
	}
	m.Advance(end)
	return m, end
}

// TestContainersAreNoMeasureForTheHost has one container more look each week, by root's shell: an escape to the host
// scores as it does where there are none.
func TestContainersAreNoMeasureForTheHost(t *testing.T) {
	without, end := node(0)
	with, _ := node(10)
	escape := service(end.Add(3*time.Hour), "root", "sh", "netstat -an")
	require.Equal(t, judged(without, escape).Parts, judged(with, escape).Parts)
	require.Equal(t, judged(without, escape).Score, judged(with, escape).Score)
	require.Greater(t, judged(with, escape).Score, 50.)

	another := contained(service(end.Add(3*time.Hour), "root", "sh", "netstat -an"), "image-10")
	require.Less(t, judged(with, another).Score, judged(without, another).Score, "in containers newcomers are usual")
}

// TestAJobOfCronIsNoDaemon has python run an agent by the minute and a job of cron by the day.
func TestAJobOfCronIsNoDaemon(t *testing.T) {
	python := func(at time.Time, entry, command string) *process.Event {
		return cameBy(service(at, "root", "python3.11", command), entry)
	}
	m := New(options)
	end := monday.AddDate(0, 0, 40)
	for at := monday; at.Before(end); at = at.Add(20 * time.Minute) {
		matched(m, python(at, process.EntryInit, "ss -s"))
		if at.Hour() == 3 && at.Minute() == 20 {
			matched(m, cameBy(service(at, "backup", "bash", "netstat -rn"), process.EntryCron))
		}
	}
	m.Advance(end)

	job := python(end.Add(4*time.Hour), process.EntryCron, "netstat -an")
	first := matched(m, job)
	require.True(t, first.New)
	require.True(t, first.KnownElsewise, "root is known, by the agent")
	require.Equal(t, "python under cron", first.Visit.Variant)
	for day := range 6 {
		job.Time = end.AddDate(0, 0, 1+day).Add(4 * time.Hour)
		matched(m, job)
	}
	job.Time = end.AddDate(0, 0, 7).Add(4 * time.Hour)
	require.Less(t, judged(m, job).Score, 10., "however often the agent looks")

	daemon := cameBy(service(end.Add(17*time.Hour), "backup", "bash", "ss -tunap"), process.EntryInit)
	require.True(t, judged(m, daemon).New)
	require.Greater(t, judged(m, daemon).Score, 50., "a shell beside the job is none of it")

	crontab := person(end, "alice", "bash", "10.1.2.3", "ss")
	crontab.Session.Entry = process.EntryCron
	l := matchOf(crontab)
	require.Equal(t, Service, l.Class, "a job is its account's, and nobody's who logged in")
}

// TestACopyInAHomeOfAJobsParent is of a shell's kind: nobody hides behind the name of what cron starts, either.
func TestACopyInAHomeOfAJobsParent(t *testing.T) {
	m, end := weeks(4)
	matched(m, cameBy(service(end, "backup", "verify", "ss -tan"), process.EntryCron))
	copied := service(end.Add(time.Hour), "backup", "verify", "ss -tan")
	copied.Parent.Executable = "/home/backup/bin/verify"
	l := matchOf(copied)
	require.Equal(t, shell, m.kindOf(&l))
	other := matchOf(service(end.Add(time.Hour), "backup", "verify", "ss -tan"))
	require.NotEqual(t, shell, m.kindOf(&other))
}

func TestWhatStartsAnythingIsAsAShell(t *testing.T) {
	m, at := weeks(4)
	for parent, want := range map[string]struct{ host, container int }{
		"sh":             {shell, shell},
		"nsenter":        {shell, shell},
		"xargs":          {shell, shell},
		"find":           {shell, shell},
		"tmux":           {shell, shell},
		"runc":           {shell, other},
		"crun":           {shell, other},
		"perl":           {interpreter, interpreter},
		"zabbix_agentd":  {other, other},
		"check_mk_agent": {other, other},
	} {
		outside := matchOf(service(at, "root", parent, "ss"))
		require.Equal(t, want.host, m.kindOf(&outside), parent)
		within := matchOf(contained(service(at, "root", parent, "ss"), "shop"))
		require.Equal(t, want.container, m.kindOf(&within), "%s in a container", parent)
		job := matchOf(cameBy(service(at, "root", parent, "ss"), process.EntryCron))
		if want.host == other {
			require.Equal(t, other, m.kindOf(&job), "%s under cron", parent)
		} else {
			require.Equal(t, scheduled, m.kindOf(&job), "%s under cron is scheduled", parent)
		}
	}
}

// TestWhatAnOlderOneLearnedCountsForEach restores what a reconbeat wrote that kept neither containers nor cron apart.
func TestWhatAnOlderOneLearnedCountsForEach(t *testing.T) {
	m, end := node(1)
	b, err := json.Marshal(m.Snapshot())
	require.NoError(t, err)
	var older Snapshot
	require.NoError(t, json.Unmarshal(b, &older))
	older.Contained = nil
	for i := range older.Actors {
		if older.Actors[i].Way == "bash under cron" {
			older.Actors[i].Way = "bash"
			older.Actors[i].Known.Features[Parent][0].text = matchOf(service(end, "root", "bash", "ss")).values[Parent]
		}
	}
	restored, err := Restore(options, older)
	require.NoError(t, err)

	job := cameBy(service(end.Add(3*time.Hour), "root", "bash", "ss -tan"), process.EntryCron)
	require.False(t, judged(restored, job).New)
	require.Less(t, judged(restored, job).Score, 10.)
	l := matchOf(job)
	usual, known := restored.Profile(&l)
	require.True(t, known)
	require.Equal(t, "bash under cron", usual.Features["parent"][0].Value)
	match := contained(service(end.Add(3*time.Hour), "root", "sh", "ss -tan"), "image-0")
	require.Less(t, judged(restored, match).Score, 10.)
	require.Equal(t, m.groups[Root].Past.weights, restored.contained[Root].Past.weights)
	require.Equal(t, 3, restored.groups[Root].Actors, "the agent; bash, which may have been a daemon's; and cron's bash")
	require.Equal(t, 1, restored.contained[Root].Actors)

	require.Equal(t, []string{"root"}, restored.Forget("root"))
	require.Zero(t, restored.groups[Root].Actors)
	require.Empty(t, restored.accounts)
}
