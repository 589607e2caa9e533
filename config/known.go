// SPDX-License-Identifier: Apache-2.0

package config

import (
	_ "embed" // the list of known software
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/reconbeat/reconbeat/config/settings"
	"github.com/reconbeat/reconbeat/internal/control"
)

// knownSoftware is a file of exceptions, each with its source.
//
//go:embed known_software.yml
var knownSoftware []byte

// EveryKnown turns on the whole list of known software.
const EveryKnown = "all"

// KnownSoftware reads the shipped list of known software.
func KnownSoftware() ([]control.Known, error) {
	const file = "known_software.yml"
	list, err := listOf(knownSoftware)
	if err != nil {
		return nil, AtLine(file, knownSoftware, err)
	}
	var all []control.Known
	var errs []error
	for i, one := range list {
		k := control.NewKnown()
		errRead := errors.Join(settings.Read("", one, &k), settings.Unknown("", one, k))
		if err := settings.Behind(errRead, k.Check()); err != nil {
			errs = append(errs, AtLine(file, knownSoftware, settings.At(strconv.Itoa(i)+".", err)))
		}
		all = append(all, k)
	}
	return all, errors.Join(errs...)
}

// Known returns the known software that is on. The error names every id that there is not.
func (c Controls) Known() (on []control.Known, err error) {
	if len(c.KnownSoftware) == 0 {
		return nil, nil
	}
	all, err := KnownSoftware()
	if err != nil {
		return nil, err
	}
	ids := []string{EveryKnown}
	for _, k := range all {
		ids = append(ids, k.ID)
		if slices.Contains(c.KnownSoftware, k.ID) || slices.Contains(c.KnownSoftware, EveryKnown) {
			on = append(on, k)
		}
	}
	var errs []error
	for i, id := range c.KnownSoftware {
		if !slices.Contains(ids, id) {
			errs = append(errs, fmt.Errorf("reconbeat.controls.known_software.%d: %q is not allowed; it must be one of %s",
				i, id, strings.Join(ids, ", ")))
		}
	}
	return on, errors.Join(errs...)
}

// CopyOfKnown is an item of known software as an exception of one's own, to narrow.
func CopyOfKnown(k control.Known) control.Exception {
	e := k.Exception
	e.Comment += " Source: " + strings.Join(k.Source, ", ")
	return e
}
