// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"

	"github.com/reconbeat/reconbeat/config/settings"
	"github.com/reconbeat/reconbeat/internal/notify"
)

// Targets reads the items of `reconbeat.notify`. The error names everything that is wrong, each with its path.
func (c Config) Targets() ([]notify.Item, error) {
	var items []notify.Item
	var errs []error
	first := map[string]int{} // by id
	for i, one := range c.Notify {
		if !settings.IsMapping(one) {
			continue
		}
		at := fmt.Sprintf("reconbeat.notify.%d.", i)
		item := notify.NewItem()
		errRead := errors.Join(settings.Read("", one, &item), settings.Unknown("", one, item))
		if err := settings.Behind(errRead, item.Check()); err != nil {
			errs = append(errs, settings.At(at, err))
		}
		if other, used := first[item.ID]; used && item.ID != "" {
			errs = append(errs, fmt.Errorf("%sid: %q is used already in reconbeat.notify.%d; choose another",
				at, item.ID, other))
		} else {
			first[item.ID] = i
		}
		items = append(items, item)
	}
	return items, errors.Join(errs...)
}
