// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"time"

	"github.com/reconbeat/reconbeat/detector/context"
	"github.com/reconbeat/reconbeat/detector/rare"
)

// learned is what one rule has learned: rare's counts over the whole stream, because Elastic's job has them so, and each host's contexts.
type learned struct {
	rare  *rare.Model
	hosts map[string]*hostContexts
}

type hostContexts struct {
	model *context.Model
	used  time.Time
}

const (
	// maxHosts bounds how many hosts' contexts a rule remembers; the one without a match for the longest time is forgotten first.
	maxHosts = 256
	// maxActors bounds how many actors of one host a rule's context model remembers.
	maxActors = 1000
)

// contextOptions are those of every host's model: a visit is as long as an episode is by default, whatever the user made of that.
func contextOptions(halfLife time.Duration) context.Options {
	return context.Options{Idle: 15 * time.Minute, Longest: 24 * time.Hour, MaxActors: maxActors, HalfLife: halfLife}
}

func newLearned(m *rare.Model) *learned { return &learned{rare: m, hosts: map[string]*hostContexts{}} }

// context returns the model of a host's contexts, a new one where there is none.
func (l *learned) context(host string, now time.Time, halfLife time.Duration) *context.Model {
	h := l.hosts[host]
	if h == nil {
		if len(l.hosts) >= maxHosts {
			l.forgetHost()
		}
		h = &hostContexts{model: context.New(contextOptions(halfLife))}
		l.hosts[host] = h
	}
	h.used = now
	return h.model
}

func (l *learned) forgetHost() {
	var worst string
	var oldest *hostContexts
	for name, h := range l.hosts {
		if oldest == nil || h.used.Before(oldest.used) || h.used.Equal(oldest.used) && name < worst {
			worst, oldest = name, h
		}
	}
	delete(l.hosts, worst)
}
