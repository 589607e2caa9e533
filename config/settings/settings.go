// SPDX-License-Identifier: Apache-2.0

// Package settings reads what a user wrote into structs, and reports all mistakes at once: each with its path, its
// value and what is allowed. go-ucfg, which does the reading, ends at the first value of a wrong type, and does not
// name the variable that is not set.
package settings

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/go-ucfg"
	"github.com/elastic/go-ucfg/parse"
)

// Read reads c into a struct, or a map, and goes on behind a value that it cannot read; the default stays in its place.
// path is what messages call c; it may be empty. Read removes from c what it cannot read: after an error c is good only
// for finding more mistakes.
func Read(path string, c *conf.C, into any) error {
	var errs []error
	for len(errs) < most {
		err := c.Unpack(into)
		if err == nil {
			return inOrder(append(errs, fractions(path, c, reflect.TypeOf(into))...))
		}
		at, known := placeOfError(c, err)
		if !known {
			return inOrder(append(errs, At(path+": ", err)))
		}
		errs = append(errs, mistakes(path, at, c, err, reflect.TypeOf(into))...)
		if !remove(c, at, reflect.TypeOf(into)) {
			return inOrder(errs)
		}
	}
	return inOrder(errs)
}

// fractions are the errors about numbers that would lose what stands behind their point: go-ucfg reads 3.7 as 3.
func fractions(path string, c *conf.C, into reflect.Type) (errs []error) {
	for _, at := range c.FlattenedKeys() {
		at = strings.TrimPrefix(at, c.Path()+".") // they begin at the root
		t := typeAt(into, strings.Split(at, "."))
		if t == nil || !(reflect.Zero(t).CanInt() || reflect.Zero(t).CanUint()) || t == reflect.TypeFor[time.Duration]() {
			continue
		}
		if f, err := c.Float(at, -1); err == nil && f != math.Trunc(f) {
			errs = append(errs, fmt.Errorf("%s: %s is not allowed; it must be %s", Join(path, at), value(c, at), kindOf(t)))
		}
	}
	return errs
}

// most is how many mistakes of one configuration are reported: beyond, it is the wrong file.
const most = 1000

// inOrder joins errors by their paths, since a map is read in any order.
func inOrder(errs []error) error {
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// At puts where before each of the errors that err is made of, so that none of them loses its place.
func At(where string, err error) error {
	if err == nil {
		return nil
	}
	many, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return fmt.Errorf("%s%w", where, err)
	}
	var errs []error
	for _, one := range many.Unwrap() {
		errs = append(errs, At(where, one))
	}
	return errors.Join(errs...)
}

// Behind joins the errors of Read and those that a check has found after it, without the check's about settings that
// Read could not read, all or in part.
func Behind(reading, check error) error {
	if reading == nil || check == nil {
		return errors.Join(reading, check)
	}
	var unread []string
	for one := range strings.Lines(reading.Error()) {
		setting, _, _ := strings.Cut(one, ": ")
		unread = append(unread, setting)
	}
	errs := []error{reading}
	all, ok := check.(interface{ Unwrap() []error })
	if !ok {
		return errors.Join(reading, check)
	}
	for _, one := range all.Unwrap() {
		setting, _, _ := strings.Cut(one.Error(), ": ")
		if !slices.ContainsFunc(unread, func(u string) bool { return u == setting || strings.HasPrefix(u, setting+".") }) {
			errs = append(errs, one)
		}
	}
	return errors.Join(errs...)
}

// Join is a path and the name of a setting there.
func Join(path, name string) string {
	switch {
	case path == "":
		return name
	case name == "":
		return path
	}
	return path + "." + name
}

// inField finds the place in those errors of go-ucfg that have it in their text only.
var inField = regexp.MustCompile(`(?:but found '[^']*' in field|accessing) '([^']+)'`)

// placeOfError is the dotted name, under c, of the value that an error is about.
func placeOfError(c *conf.C, err error) (string, bool) {
	var located ucfg.Error
	if !errors.As(err, &located) {
		return "", false
	}
	at := located.Path()
	if m := inField.FindStringSubmatch(err.Error()); at == "" && m != nil {
		at = m[1]
	}
	at = under(c, at)
	return at, at != ""
}

// under is a dotted name from the root of all as it is under c.
func under(c *conf.C, at string) string {
	if root := c.Path(); root != "" {
		return strings.TrimPrefix(strings.TrimPrefix(at, root), ".")
	}
	return at
}

// mistakes are the errors about the value at a place.
func mistakes(path, at string, c *conf.C, err error, into reflect.Type) []error {
	where := Join(path, at)
	if there, none := c.Has(at, -1); Reason(err) == ucfg.ErrRequired || none == nil && !there {
		return []error{fmt.Errorf("%s: is missing", where)}
	}
	if errs := unset(path, at, c); len(errs) > 0 {
		return errs
	}
	t := typeAt(into, strings.Split(at, "."))
	if i := strings.LastIndexByte(at, '.'); i >= 0 && t != nil && t.Kind() == reflect.String {
		if _, err := strconv.Atoi(at[i+1:]); err == nil {
			return notText(path, at[:i], c)
		}
	}
	if t != nil {
		if v, ok := reflect.Zero(t).Interface().(allowing); ok {
			return []error{fmt.Errorf("%s: %s is not allowed; it must be %s", where, value(c, at), v.Allowed())}
		}
	}
	if bound, ok := strings.CutPrefix(Reason(err).Error(), "requires value "); ok {
		return []error{fmt.Errorf("%s: %s is not allowed; it must be %s", where, value(c, at), bound)}
	}
	if sub, none := c.Child(at, -1); none == nil && sub.IsDict() && t != nil && t.Kind() == reflect.Struct {
		return []error{fmt.Errorf("%s: %w", where, Reason(err))} // its parts do not go together
	}
	if t == nil || readsItself(t) {
		return []error{fmt.Errorf("%s: %s is not allowed: %w", where, value(c, at), Reason(err))}
	}
	return []error{fmt.Errorf("%s: %s is not allowed; it must be %s", where, value(c, at), kindOf(t))}
}

// notText are the errors about those elements of a list of texts that are none.
func notText(path, list string, c *conf.C) (errs []error) {
	for i := 0; ; i++ {
		at := Join(list, strconv.Itoa(i))
		if there, err := c.Has(at, -1); err != nil || !there {
			return errs
		}
		if _, err := c.Child(at, -1); err == nil {
			errs = append(errs, fmt.Errorf("%s: %s is not allowed; it must be text", Join(path, at), value(c, at)))
		}
	}
}

// allowing is a type that says itself which values it takes, to end the sentence "it must be".
type allowing interface{ Allowed() string }

// Reason is an error of go-ucfg without the place, which the message has already.
func Reason(err error) error {
	var located ucfg.Error
	if errors.As(err, &located) && located.Reason() != nil {
		return located.Reason()
	}
	return err
}

// unset returns an error for each value at or under a place that refers to a variable which is not set.
func unset(path, at string, c *conf.C) []error {
	var errs []error
	for _, key := range c.FlattenedKeys() {
		key = under(c, key)
		if key != at && !strings.HasPrefix(key, at+".") {
			continue
		}
		if name := missing(c, key); name != "" {
			errs = append(errs, unsetError{path: Join(path, key), name: name})
		}
	}
	return errs
}

// unsetError says that a value refers to a variable that is not set.
type unsetError struct{ path, name string }

func (e unsetError) Error() string {
	return fmt.Sprintf("%s: ${%s} is not set; set the environment variable, or put it into the keystore: "+
		"reconbeat keystore add %s", e.path, e.name, e.name)
}

// Unset reads c as Read does, and returns the variables that are not set, by the path of the setting that refers to
// each.
func Unset(path string, c *conf.C, into any) map[string]string {
	found := map[string]string{}
	all, _ := Read(path, c, into).(interface{ Unwrap() []error })
	if all == nil {
		return found
	}
	for _, one := range all.Unwrap() {
		var unset unsetError
		if errors.As(one, &unset) {
			found[unset.path] = unset.name
		}
	}
	return found
}

// WithoutUnset is an error of Read without what it says of variables that are not set under paths, or anywhere where
// no path is given.
func WithoutUnset(err error, paths ...string) error {
	all, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	return errors.Join(slices.DeleteFunc(slices.Clone(all.Unwrap()), func(one error) bool {
		var unset unsetError
		return errors.As(one, &unset) && (len(paths) == 0 || slices.ContainsFunc(paths, func(path string) bool {
			return strings.HasPrefix(unset.path, path+".")
		}))
	})...)
}

// missing returns the variable that is not set and that the value at a place refers to; empty where there is none.
func missing(c *conf.C, at string) string {
	var last string
	ask := func(name string) (string, parse.Config, error) {
		// libbeat resolves variables from its keystore, too.
		if v, err := conf.MustNewConfigFrom(map[string]any{"v": "${" + name + "}"}).String("v", -1); err == nil {
			return v, parse.NoopConfig, nil
		}
		last = name
		return "", parse.NoopConfig, ucfg.ErrMissing
	}
	_, err := (*ucfg.Config)(c).String(at, -1, ucfg.PathSep("."), ucfg.VarExp, ucfg.Resolve(ask), ucfg.ResolveEnv)
	if err == nil {
		return ""
	}
	return last
}

// RefersTo reports whether a value in c, which is a whole configuration, refers to a name in it, or to one below.
func RefersTo(c *conf.C, name string) bool {
	without, err := conf.MergeConfigs(c)
	if err != nil {
		return false
	}
	if removed, err := without.Remove(name, -1); err != nil || !removed {
		return false
	}
	for _, key := range without.FlattenedKeys() {
		if asked := missing(without, key); asked == name || strings.HasPrefix(asked, name+".") {
			return true
		}
	}
	return false
}

// value is the value at a place as messages have it.
func value(c *conf.C, at string) string {
	if sub, err := c.Child(at, -1); err == nil {
		if sub.IsArray() {
			return "a list"
		}
		return "a mapping"
	}
	text, err := c.String(at, -1)
	if err != nil {
		return "the value"
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return text
	}
	if text == "true" || text == "false" {
		return text
	}
	return strconv.Quote(text)
}

// remove deletes the value at a place from c. An element of a list is replaced by one that is switched off, so that
// those behind it keep their numbers; a list that is not of mappings is deleted whole.
func remove(c *conf.C, at string, into reflect.Type) bool {
	list, last := "", at
	if i := strings.LastIndexByte(at, '.'); i >= 0 {
		list, last = at[:i], at[i+1:]
	}
	if i, err := strconv.Atoi(last); err == nil && list != "" {
		mapping := typeAt(into, strings.Split(at, ".")) == reflect.TypeFor[*conf.C]()
		if mapping && c.SetChild(list, i, conf.MustNewConfigFrom(map[string]any{"enabled": false, unread: true})) == nil {
			return true
		}
		at = list
	}
	removed, err := c.Remove(at, -1)
	return err == nil && removed
}

// unread marks what Read has put in the place of an element that it could not read.
const unread = "(unread)"

// IsMapping reports whether an element of a list is a mapping of settings. What is wrong with any other element, Read
// and Unknown say.
func IsMapping(element *conf.C) bool { return !element.IsArray() && !element.HasField(unread) }

// typeAt follows the names of settings into a type; nil where a name is unknown.
func typeAt(t reflect.Type, names []string) reflect.Type {
	for t.Kind() == reflect.Pointer && t != reflect.TypeFor[*conf.C]() {
		t = t.Elem()
	}
	switch {
	case len(names) == 0:
		return t
	case readsItself(t):
		return nil
	case t.Kind() == reflect.Slice:
		return typeAt(t.Elem(), names[1:])
	case t.Kind() != reflect.Struct:
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, inline := nameOf(f)
		if inline {
			if found := typeAt(f.Type, names); found != nil {
				return found
			}
			continue
		}
		own := strings.Split(name, ".")
		if name != "" && len(own) <= len(names) && strings.Join(names[:len(own)], ".") == name {
			return typeAt(f.Type, names[len(own):])
		}
	}
	return nil
}

// readsItself reports whether a type has a method of its own that reads it.
func readsItself(t reflect.Type) bool {
	if t == reflect.TypeFor[conf.C]() || t == reflect.TypeFor[*conf.C]() {
		return false
	}
	p := reflect.PointerTo(t)
	_, unpacks := p.MethodByName("Unpack")
	return unpacks || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// kindOf says in words which values a type takes.
func kindOf(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "a duration such as 90s, 15m or 24h"
	case t == reflect.TypeFor[conf.C](), t == reflect.TypeFor[*conf.C]():
		return "a mapping of settings"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number, 0 or more"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.String:
		return "text"
	case reflect.Slice:
		return "a list"
	}
	return "a mapping of settings"
}
