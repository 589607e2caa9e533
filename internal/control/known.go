// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"
	"net/url"
)

// Known is an item of the shipped list of known software: an exception for what an agent or a tool does as part of its
// work. It is off until somebody turns it on.
type Known struct {
	Exception `config:",inline"`
	Source    Texts `config:"source"` // public addresses of the code, or the document, which shows that it does so
}

// KindKnown is what documents call it.
const KindKnown = "known_software"

// NewKnown is an item of known software with the defaults.
func NewKnown() Known { return Known{Exception: NewException()} }

// Check returns everything that is wrong with the item, each error with the key that it is about.
func (k *Known) Check() error {
	var wrong mistakes
	if len(k.Source) == 0 {
		wrong.add("source", "is missing; it must be the address of what shows that the software does so")
	}
	for _, s := range k.Source {
		if u, err := url.Parse(s); err != nil || u.Scheme != "https" || u.Host == "" {
			wrong.add("source", "%q is not allowed; it must be an address such as https://example.org/agent.sh", s)
		}
	}
	return errors.Join(append([]error{k.Exception.Check()}, wrong...)...)
}
