// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	conf "github.com/elastic/elastic-agent-libs/config"
)

// unknownKeys returns an error for each key of c that none of the structs into has a place for: a key misspelt is a setting that silently does not hold.
func unknownKeys(path string, c *conf.C, into ...any) error {
	var given map[string]any
	if err := c.Unpack(&given); err != nil {
		return fmt.Errorf("reading the keys of %s: %w", path, err)
	}
	all := placeOf(reflect.TypeOf(into[0]))
	for _, more := range into[1:] {
		all.merge(placeOf(reflect.TypeOf(more)))
	}
	return errors.Join(all.unknown(path, given)...)
}

// ModuleKeys returns an error for each key of a module's configuration that neither every module nor one of these options knows.
func ModuleKeys(c *conf.C, options ...any) error {
	m, err := ParseModule(c)
	if err != nil {
		return err
	}
	return unknownKeys(m.Module, c, append([]any{Module{}}, options...)...)
}

// place is where settings may stand: a struct's by name, a list's elements; the zero place takes anything.
type place struct {
	names   map[string]*place
	element *place
}

// placeOf follows the config tags of t. What reads itself (a list of *config.C, a map) takes anything.
func placeOf(t reflect.Type) *place {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[conf.C]():
		return &place{}
	case t.Kind() == reflect.Slice:
		return &place{element: placeOf(t.Elem())}
	case t.Kind() != reflect.Struct:
		return &place{}
	}
	p := &place{names: map[string]*place{}}
	p.add(t)
	return p
}

func (p *place) add(t reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, option, _ := strings.Cut(f.Tag.Get("config"), ",")
		if name == "" && f.IsExported() {
			name = strings.ToLower(f.Name) // go-ucfg's own default
		}
		switch {
		case option == "inline":
			p.add(f.Type)
		case name != "":
			p.child(strings.Split(name, ".")).merge(placeOf(f.Type))
		}
	}
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
	p.element = q.element
	if p.names == nil {
		p.names = q.names
		return
	}
	maps.Copy(p.names, q.names)
}

func (p *place) unknown(path string, given any) []error {
	var errs []error
	switch g := given.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(g)) {
			switch sub := p.names[name]; {
			case p.names == nil:
			case sub == nil:
				errs = append(errs, fmt.Errorf("%s.%s: no such setting; known here are %s", path, name, strings.Join(slices.Sorted(maps.Keys(p.names)), ", ")))
			default:
				errs = append(errs, sub.unknown(path+"."+name, g[name])...)
			}
		}
	case []any:
		for i := range g {
			if p.element != nil {
				errs = append(errs, p.element.unknown(fmt.Sprintf("%s.%d", path, i), g[i])...)
			}
		}
	}
	return errs
}
