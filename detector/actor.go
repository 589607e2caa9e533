// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/process"
)

// Actor is who a finding is about: the login user when a person is behind it, else the service account.
type Actor struct {
	ID      uint32 `json:"id"`                // process.Unset where only the name is known
	Name    string `json:"name,omitempty"`    // empty where only the id is known
	Service bool   `json:"service,omitempty"` // a daemon or a cron job: no person is present
	// Container is what restarts keep of the container; empty outside of one. The same id in another container is
	// somebody else, as for the model.
	Container string `json:"container,omitempty"`
}

// Actor is who is behind the event. cron logs in on behalf of an account whose owner is absent: its jobs are the
// service account's.
func (d *Detector) Actor(e *process.Event) Actor {
	login, container := e.Session.User, strings.Clone(e.Container.Identity())
	if d.o.Actor == ActorUser || !login.Known() || e.Session.Entry == process.EntryCron {
		service := !login.Known() || e.Session.Entry == process.EntryCron
		return Actor{ID: e.User.ID, Name: strings.Clone(e.User.Name), Service: service, Container: container}
	}
	return Actor{ID: login.ID, Name: strings.Clone(login.Name), Container: container}
}

// String is the actor's name, or "uid 1000" where there is none, and the container.
func (a Actor) String() string {
	who := "an unknown user"
	switch {
	case a.Name != "":
		who = a.Name
	case a.ID != process.Unset:
		who = fmt.Sprintf("uid %d", a.ID)
	}
	if a.Container != "" {
		who += " in " + a.Container
	}
	return who
}

// inContainer is between account and container in the key of an actor.
const inContainer = "\x00"

// key identifies the actor: by id where it is known, because names are reused and change, and by the container.
func (a Actor) key() string {
	key := "name " + a.Name
	if a.ID != process.Unset {
		key = "uid " + strconv.FormatUint(uint64(a.ID), 10)
	}
	if a.Container != "" {
		key += inContainer + a.Container
	}
	return key
}

// accountOf is the account in the key of an actor, whatever the container, and the container.
func accountOf(key string) (account, container string) {
	account, container, _ = strings.Cut(key, inContainer)
	return account, container
}

// The fields of the actor.
const (
	actorObject    = "reconbeat.actor"
	actorName      = actorObject + ".name"
	actorID        = actorObject + ".id"
	actorKind      = actorObject + ".kind"
	actorContainer = actorObject + ".container"
)

func (a Actor) name() any { return orNil(a.Name) }

func (a Actor) id() any {
	if a.ID == process.Unset {
		return nil
	}
	return strconv.FormatUint(uint64(a.ID), 10)
}

func (a Actor) kind() any {
	if a.Service {
		return "service"
	}
	return "login"
}

// Encode puts the actor's fields into the document of an event that has no finding. An unknown actor has no fields.
func (a Actor) Encode(into mapstr.M) {
	if a.Name == "" && a.ID == process.Unset {
		return
	}
	actor := mapstr.M{"kind": a.kind()}
	if name := a.name(); name != nil {
		actor["name"] = name
	}
	if id := a.id(); id != nil {
		actor["id"] = id
	}
	if a.Container != "" {
		actor["container"] = a.Container
	}
	_, _ = into.Put(actorObject, actor) // the document is ours: every part of the path is an object
}

// rareUser is the value that `rare by user.name` sees: the real user's name, or the id where no name is known.
func rareUser(e *process.Event) string {
	u := e.User
	if u.Name != "" {
		return strings.Clone(u.Name)
	}
	if u.ID != process.Unset {
		return strconv.FormatUint(uint64(u.ID), 10)
	}
	return ""
}
