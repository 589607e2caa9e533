// SPDX-License-Identifier: Apache-2.0

package beattest

import (
	"regexp"
	"slices"
	"strings"
)

// Uncommented are the settings in a file of comments, each with the sections that it stands in.
func Uncommented(text string) (pieces []string) {
	line := regexp.MustCompile(`^( *)#?( *(?:- )?)([\w."]+):( .*)?$`)
	type section struct {
		depth int
		text  string
	}
	var within []section
	for one := range strings.Lines(text) {
		one = strings.TrimRight(one, "\n")
		m := line.FindStringSubmatch(one)
		if m == nil || strings.HasPrefix(m[2], " ") && !strings.HasPrefix(m[2], "  ") && strings.Contains(one, "#") {
			continue // a sentence has one blank behind the sign
		}
		depth := len(m[1]) + len(m[2])
		item := strings.HasSuffix(m[2], "- ")
		if item {
			depth -= 2 // what follows at the depth of its name is in the same element
		}
		for len(within) > 0 && within[len(within)-1].depth >= depth {
			within = within[:len(within)-1]
		}
		own := strings.Repeat(" ", len(m[1])) + m[2] + m[3] + ":" + m[4]
		piece := own
		for _, around := range slices.Backward(within) {
			piece = around.text + "\n" + piece
		}
		pieces = append(pieces, piece)
		if item || strings.TrimSpace(m[4]) == "" {
			within = append(within, section{depth, own})
		}
	}
	return pieces
}
