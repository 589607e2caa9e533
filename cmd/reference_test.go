// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"errors"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/management"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/paths"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/reconbeat/reconbeat/beater"
	reconfig "github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/beattest"
)

// Each line of the reference configuration, taken out of its comment, with a value of a wrong type: it is reported by
// its path and what is allowed.
func TestAWrongTypeOfEachReferenceSetting(t *testing.T) {
	t.Parallel()
	// These are free, or libbeat takes nearly everything: conditions, parameters of requests. Of settings that go
	// together, one alone is not enough.
	free := regexp.MustCompile(
		`processors|\.index$|fields|headers|parameters|settings\.index|kerberos`)
	mapping, list := map[string]any{"wrong": map[string]any{"type": 1}}, []any{map[string]any{"wrong": 1}}
	tried := 0
	for _, piece := range referenceSettings(t) {
		for _, wrong := range []any{5, mapping, list} {
			var whole map[string]any
			require.NoError(t, yaml.Unmarshal([]byte(piece), &whole), piece)
			path, was := replaceLeaf(whole, wrong)
			_, many := was.([]any)
			_, on := was.(bool)
			isMapping := reflect.DeepEqual(wrong, mapping)
			if free.MatchString(path) || many && !isMapping || wrong == 5 && !on || was == nil && isMapping {
				continue // a number is good as text, a list's element may be anything, and an empty section a mapping
			}
			tried++
			c, err := conf.NewConfigFrom(whole)
			require.NoError(t, err, piece)
			last := path[strings.LastIndexByte(path, '.')+1:]
			err = checkWhole(t, c)
			assert.ErrorContains(t, err, last, "%s: %v in the place of %v", path, wrong, was)
			assert.Regexp(t, `is not allowed; it must be |is not allowed: |no such setting|is missing`, err.Error(), path)
		}
	}
	require.Greater(t, tried, 300)
}

// replaceLeaf puts another value into the one setting that a piece has.
func replaceLeaf(whole map[string]any, by any) (path string, was any) {
	var names []string
	var at any = whole
	for {
		switch here := at.(type) {
		case map[string]any:
			var last string
			for name := range here {
				if last == "" || last == "module" {
					last = name
				}
			}
			names = append(names, last)
			child := here[last]
			if m, ok := child.(map[string]any); ok && len(m) > 0 {
				at = child
				continue
			}
			if l, ok := child.([]any); ok && len(l) == 1 {
				if m, ok := l[0].(map[string]any); ok && len(m) > 0 {
					names, at = append(names, "0"), m
					continue
				}
			}
			here[last] = by
			return strings.Join(names, "."), child
		default:
			panic(at)
		}
	}
}

func checkWhole(t *testing.T, root *conf.C) error {
	errs := []error{reconfig.CheckStart(root)}
	errs = append(errs, reconfig.CheckFile(root))
	section, err := root.Child(Name, -1)
	if err != nil {
		return errors.Join(errs...)
	}
	logger := logp.NewNopLogger()
	manager, err := management.NewManager(nil, nil, logger)
	require.NoError(t, err)
	info := beat.Info{Beat: Name, Logger: logger}
	_, err = beater.New(&beat.Beat{Info: info, Paths: paths.Paths, Manager: manager}, section)
	return errors.Join(append(errs, err)...)
}

// referenceSettings are the settings of the reference configuration, each with the sections that it stands in.
func referenceSettings(t *testing.T) (pieces []string) {
	text, err := os.ReadFile("../reconbeat.reference.yml")
	require.NoError(t, err)
	return beattest.Uncommented(regexp.MustCompile(`\$\{path\.\w+\}`).ReplaceAllString(string(text), "/"))
}
