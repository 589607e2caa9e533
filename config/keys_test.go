// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"

	"github.com/elastic/go-ucfg/yaml"
	"github.com/stretchr/testify/require"
)

// What libbeat ends at with a stack trace is reported by file, line and path; what it takes is not reported.
func TestANameThatIsNoTextIsReported(t *testing.T) {
	for key, kind := range map[string]string{
		"on": "true or false", "Off": "true or false", "YES": "true or false", "n": "true or false",
		"true": "true or false", "7": "a number", "1.5": "a number", "~": "nothing",
		"\"on\"": "", "'7'": "", "one": "", "<<": "", "a.b": "", "!!str on": "",
	} {
		text := "name: x\nreconbeat:\n  modules:\n  - module: auditd\n    " + key + ": {a: 1}\n"
		_, libbeat := yaml.NewConfig([]byte(text))
		err := CheckYAML("reconbeat.yml", []byte(text))
		if kind == "" {
			require.NoError(t, libbeat, key)
			require.NoError(t, err, key)
			continue
		}
		require.ErrorContains(t, libbeat, "string key required", key)
		require.EqualError(t, err, "reconbeat.yml line 5: reconbeat.modules.0."+key+": the name "+key+" is "+kind+
			` in YAML; it must be text: put it in quotes if it is meant, "`+key+`"`)
	}
	err := CheckYAML("f", []byte("on: 1\n7: {off: 2}\n"))
	require.Len(t, strings.Split(err.Error(), "\n"), 3, "all at once")
	require.NoError(t, CheckYAML("f", []byte("a: [")))
}
