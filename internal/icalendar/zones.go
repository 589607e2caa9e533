// SPDX-License-Identifier: Apache-2.0

package icalendar

import (
	_ "embed"
	"strings"
	"sync"
)

// windowsNames are the names that Windows, and so Outlook and Exchange, have for time zones, as Unicode's CLDR maps
// them to IANA's (windowsZones, territory 001).
//
//go:embed windows_zones.txt
var windowsNames string

// windowsZones are the IANA names of time zones by the names that Windows has for them, in lower case.
var windowsZones = sync.OnceValue(func() map[string]string {
	zones := map[string]string{}
	for line := range strings.Lines(windowsNames) {
		if name, zone, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			zones[strings.ToLower(name)] = zone
		}
	}
	return zones
})
