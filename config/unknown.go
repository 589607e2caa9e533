// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"reflect"
	"sort"
	"strings"

	conf "github.com/elastic/elastic-agent-libs/config"
)

// unknownKeys returns an error for each key of c that the struct into has no place for: a key misspelt is a setting that silently does not hold.
func unknownKeys(path string, c *conf.C, into any) error {
	known := map[string]bool{}
	settings(reflect.TypeOf(into), "", known)
	var errs []error
	for _, key := range c.FlattenedKeys() {
		if !isKnown(key, known) {
			errs = append(errs, fmt.Errorf("%s.%s: no such setting; known are %s", path, key, strings.Join(names(known), ", ")))
		}
	}
	return errors.Join(errs...)
}

// settings collects the dotted names that a struct's config tags allow; one that ends with ".*" holds a list or a tree of others.
func settings(t reflect.Type, prefix string, into map[string]bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, opt, _ := strings.Cut(f.Tag.Get("config"), ",")
		switch {
		case opt == "inline":
			settings(f.Type, prefix, into)
		case name == "":
		case f.Type.Kind() == reflect.Struct:
			settings(f.Type, prefix+name+".", into)
		case f.Type.Kind() == reflect.Slice || f.Type.Kind() == reflect.Map || f.Type.Kind() == reflect.Pointer && f.Type.Elem().Kind() == reflect.Struct:
			into[prefix+name+".*"] = true
		default:
			into[prefix+name] = true
		}
	}
}

func isKnown(key string, known map[string]bool) bool {
	if known[key] {
		return true
	}
	for k := range known {
		if stem, list := strings.CutSuffix(k, ".*"); list && (key == stem || strings.HasPrefix(key, stem+".")) {
			return true
		}
	}
	return false
}

func names(known map[string]bool) []string {
	out := make([]string, 0, len(known))
	for k := range known {
		out = append(out, strings.TrimSuffix(k, ".*"))
	}
	sort.Strings(out)
	return out
}
