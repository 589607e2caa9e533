// SPDX-License-Identifier: Apache-2.0

package document

import (
	"encoding/json"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/elastic/elastic-agent-libs/mapstr"
)

// MaxAlert is how many bytes of JSON an alert has at most, before libbeat adds what is the same in all documents.
const MaxAlert = 20 << 10

// cutField marks an alert whose longest values were cut.
const cutField = "reconbeat.alert.truncated"

// fit cuts the longest values of an alert until it is no longer than MaxAlert: a hostile argument list has 64 KiB, and
// so may those of its parent and leaders. The raw event has the values whole. The guide, which is bounded, stays.
func fit(fields mapstr.M) {
	for most := 4 << 10; size(fields) > MaxAlert && most >= 16; most /= 2 {
		note, _ := fields.GetValue(noteField) // there may be none
		cut(fields, most)
		if note != nil {
			put(fields, noteField, note)
		}
		put(fields, cutField, true)
	}
}

// size is that of a document as JSON.
func size(fields mapstr.M) int {
	text, err := json.Marshal(fields)
	if err != nil {
		return 0 // libbeat will say what does not fit
	}
	return len(text)
}

// cut returns a value in which no text is longer than most bytes and no list of texts longer in all.
func cut(v any, most int) any {
	switch v := v.(type) {
	case mapstr.M:
		for name := range maps.Clone(v) {
			v[name] = cut(v[name], most)
		}
		return v
	case map[string]any: // of a processor
		return cut(mapstr.M(v), most)
	case []mapstr.M:
		for _, one := range v {
			cut(one, most)
		}
		return v
	case []string:
		return cutList(v, most)
	case string:
		return cutText(v, most)
	}
	return v
}

// cutList cuts texts, and leaves out the last ones, until all have no more than most bytes.
func cutList(list []string, most int) []string {
	kept := slices.Clone(list)
	left := most
	for i := range kept {
		kept[i] = cutText(kept[i], left)
		if left -= len(kept[i]) + len(`"",`); left <= 0 {
			return kept[:i+1]
		}
	}
	return kept
}

// cutText cuts a text between two characters; an ellipsis marks the place.
func cutText(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for n := most; n > most-utf8.UTFMax && n > 0; n-- {
		if utf8.RuneStart(s[n]) {
			most = n
			break
		}
	}
	return s[:most] + ellipsis
}

// ellipsis ends what was cut.
const ellipsis = " …"
