// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	conf "github.com/elastic/elastic-agent-libs/config"
)

// Unknown returns an error for each key of c that none of the structs in into has: go-ucfg ignores a misspelt key, and
// with it the setting. It also ignores a mapping where a list belongs, and a list where a mapping belongs, which are
// errors here, too. path is what messages call c. Other values are not checked.
func Unknown(path string, c *conf.C, into ...any) error {
	all := &place{}
	for _, one := range into {
		all.merge(placeOf(reflect.TypeOf(one), nil))
	}
	if err := all.misfit(path, c); err != nil {
		return err
	}
	return errors.Join(all.unknown(path, c)...)
}

// misfit is an error about a list where a mapping belongs, or the other way round.
func (p *place) misfit(path string, c *conf.C) error {
	switch {
	case p.section && c.IsArray():
		return fmt.Errorf("%s: a list is not allowed; it must be a mapping of settings", path)
	case p.element != nil && len(c.GetFields()) > 0:
		return fmt.Errorf("%s: a mapping is not allowed; it must be a list", path)
	}
	return nil
}

// place is where settings may stand: a struct's by name, a list's elements; the zero place takes anything.
type place struct {
	names   map[string]*place
	element *place
	section bool // a mapping of settings, though perhaps of any names
}

// placeOf follows the config tags of t. What reads itself (a list of *config.C, a map) takes anything. around are the
// places of the structs that t is in: a struct may be in itself, as a condition is.
func placeOf(t reflect.Type, around map[reflect.Type]*place) *place {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[conf.C](), t.Kind() == reflect.Map:
		return &place{section: true}
	case readsItself(t):
		return &place{}
	case t.Kind() == reflect.Slice:
		return &place{element: placeOf(t.Elem(), around)}
	case t.Kind() != reflect.Struct:
		return &place{}
	case around[t] != nil:
		return around[t]
	}
	p := &place{names: map[string]*place{}, section: true}
	within := maps.Clone(around)
	if within == nil {
		within = map[reflect.Type]*place{}
	}
	within[t] = p
	p.add(t, within)
	return p
}

func (p *place) add(t reflect.Type, around map[reflect.Type]*place) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, inline := nameOf(f)
		switch {
		case inline:
			p.add(f.Type, around)
		case name != "":
			p.child(strings.Split(name, ".")).merge(placeOf(f.Type, around))
		}
	}
}

// Fields are the settings of a struct: their names, and what each is read into, empty.
func Fields(of any) map[string]any {
	all := map[string]any{}
	t := reflect.TypeOf(of)
	for i := range t.NumField() {
		if name, inline := nameOf(t.Field(i)); inline {
			maps.Copy(all, Fields(reflect.Zero(t.Field(i).Type).Interface()))
		} else if name != "" {
			all[name] = reflect.Zero(t.Field(i).Type).Interface()
		}
	}
	return all
}

// nameOf is how a user calls a field of a struct; the fields of an inline one stand beside the others.
func nameOf(f reflect.StructField) (name string, inline bool) {
	name, option, _ := strings.Cut(f.Tag.Get("config"), ",")
	if option == "ignore" {
		return "", false
	}
	if name == "" && f.IsExported() {
		name = strings.ToLower(f.Name) // go-ucfg's own default
	}
	return name, option == "inline"
}

// child returns the place of a dotted name, made where it is missing.
func (p *place) child(names []string) *place {
	for _, n := range names {
		if p.names == nil {
			p.names = map[string]*place{}
		}
		if p.names[n] == nil {
			p.names[n] = &place{}
		}
		p = p.names[n]
	}
	return p
}

func (p *place) merge(q *place) {
	p.element, p.section = q.element, q.section
	if p.names == nil {
		p.names = q.names
		return
	}
	maps.Copy(p.names, q.names)
}

func (p *place) unknown(path string, c *conf.C) []error {
	if p.names == nil {
		return nil
	}
	var errs []error
	for _, name := range slices.Sorted(slices.Values(c.GetFields())) {
		at, sub := Join(path, name), p.names[name]
		if sub == nil {
			known := strings.Join(slices.Sorted(maps.Keys(p.names)), ", ")
			errs = append(errs, fmt.Errorf("%s: no such setting; known here are %s", at, known))
			continue
		}
		child, err := c.Child(name, -1)
		if err != nil { // it is one value
			continue
		}
		misfit := sub.misfit(at, child)
		switch {
		case misfit != nil:
			errs = append(errs, misfit)
		case sub.element == nil:
			errs = append(errs, sub.unknown(at, child)...)
		default:
			n, _ := c.CountField(name) // it is there
			for i := range n {
				element, err := c.Child(name, i)
				if err != nil {
					continue
				}
				here := Join(at, strconv.Itoa(i))
				if misfit := sub.element.misfit(here, element); misfit != nil {
					errs = append(errs, misfit)
					continue
				}
				errs = append(errs, sub.element.unknown(here, element)...)
			}
		}
	}
	return errs
}

// New returns a pointer to a new struct of the type of one.
func New(of any) any { return reflect.New(reflect.TypeOf(of)).Interface() }
