// SPDX-License-Identifier: Apache-2.0

// Package secret hides the secrets in a configuration, for what a person hands on: diagnostics.
package secret

import (
	"regexp"
	"slices"
	"strings"
)

// Hidden stands where a secret was.
const Hidden = "xxxxx"

// secretWords are in the names of settings whose values are secret. libbeat's own list has neither API keys nor tokens.
var secretWords = []string{"password", "passphrase", "api_key", "apikey", "secret", "token", "credential",
	"authorization", "cloud.auth"}

// secretTrees are settings below which anything may be secret. Whoever knows the URL of a webhook can write there, and
// variables hold what a receiver wants to see.
var secretTrees = []string{"headers", "proxy_headers", "variables"}

// secretURLs are the ends of settings that are URLs and secret.
var secretURLs = []string{"webhook.url"}

var (
	// to the keystore or the environment, which is not a secret
	reference  = regexp.MustCompile(`^\$\{[\w.]+\}$`)
	userinfo   = regexp.MustCompile(`(://)[^/@\s"']+@`)                    // of an address
	privateKey = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY.*`) // in the place of a file
)

// Mask hides the secrets in what YAML has read.
func Mask(key string, value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, below := range v {
			v[name] = Mask(strings.TrimPrefix(key+"."+name, "."), below)
		}
		return v
	case []any:
		for i, below := range v {
			v[i] = Mask(key, below)
		}
		return v
	case nil:
		return nil
	}
	text, isText := value.(string)
	switch {
	case isText && reference.MatchString(text):
		return text
	case isSecret(key):
		return Hidden
	case isText:
		return MaskText(text)
	}
	return value
}

// MaskText hides the secrets that show in any text.
func MaskText(text string) string {
	return privateKey.ReplaceAllString(userinfo.ReplaceAllString(text, "${1}"+Hidden+"@"), Hidden)
}

func isSecret(key string) bool {
	key = strings.ToLower(key)
	parts := strings.Split(key, ".")
	return slices.ContainsFunc(secretTrees, func(tree string) bool { return slices.Contains(parts, tree) }) ||
		slices.ContainsFunc(secretURLs, func(end string) bool { return strings.HasSuffix(key, end) }) ||
		slices.ContainsFunc(secretWords, func(word string) bool {
			return strings.Contains(parts[len(parts)-1], word) || strings.HasSuffix(key, word)
		})
}
