// SPDX-License-Identifier: Apache-2.0

package control

import (
	"fmt"
	"slices"
)

// mostAlternatives bounds into how many alternatives a condition is taken apart.
const mostAlternatives = 64

var errAlternatives = fmt.Errorf("it has more than %d alternatives, each of which would be an item of its own",
	mostAlternatives)

// alternatives are the lists of tests of which one must hold entirely for a condition to hold, or not to where not is
// true: its disjunctive normal form. literal has those of a test of one field.
func alternatives[T any](
	c *Condition, not bool, literal func(c *Condition, not bool) ([][]T, error),
) ([][]T, error) {
	not = not != c.Not
	parts, either := c.All, false
	if len(c.Any) > 0 {
		parts, either = c.Any, true
	}
	if len(parts) == 0 {
		return literal(c, not)
	}
	either = either != not // by De Morgan's laws
	all := [][]T{{}}
	if either {
		all = nil
	}
	for i := range parts {
		one, err := alternatives(&parts[i], not, literal)
		if err != nil {
			return nil, err
		}
		if either {
			all = append(all, one...)
		} else {
			var product [][]T
			for _, before := range all {
				for _, then := range one {
					product = append(product, slices.Concat(before, then))
				}
			}
			all = product
		}
		if len(all) > mostAlternatives {
			return nil, errAlternatives
		}
	}
	return all, nil
}
