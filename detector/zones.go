// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"strings"
	"time"
)

// zones remembers the time zones that events named. The zero zones is ready.
type zones map[string]*time.Location

// maxZones bounds them: there are some six hundred in the world, and whoever ships more names is hostile.
const maxZones = 1024

// of returns the zone of an IANA name, or of an offset such as "+02:00" or "-0530"; nil where there is no such zone.
func (z *zones) of(name string) *time.Location {
	zone, known := (*z)[name]
	if known {
		return zone
	}
	if at, err := time.Parse("-07:00", name); err == nil {
		zone = at.Location()
	} else if at, err := time.Parse("-0700", name); err == nil {
		zone = at.Location()
	} else if named, err := time.LoadLocation(name); err == nil && name != "Local" {
		zone = named
	}
	if *z == nil || len(*z) >= maxZones {
		*z = zones{}
	}
	(*z)[strings.Clone(name)] = zone
	return zone
}
