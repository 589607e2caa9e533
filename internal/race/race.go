// SPDX-License-Identifier: Apache-2.0

// Package race says whether the race detector is on. What computes on one goroutine has no races and takes
// ten times as long under it: such tests do fewer rounds there, and `go tool mage test` runs them without it, too.
package race

// Rounds chooses between the full number of rounds and the one of a test under the race detector.
func Rounds(full, raced int) int {
	if Enabled {
		return raced
	}
	return full
}
