// SPDX-License-Identifier: Apache-2.0

// Package plural writes numbers of things in English.
package plural

import (
	"fmt"

	"github.com/dustin/go-humanize/english"
)

// Of is a number of things: "1 day", "3 days", "2 matches". Digits stand without commas, unlike in the library's own
// Plural, because documents and log lines are searched for the number.
func Of[N int | int64 | uint32 | uint64](n N, thing string) string {
	return fmt.Sprintf("%d %s", n, english.PluralWord(int(n), thing, ""))
}
