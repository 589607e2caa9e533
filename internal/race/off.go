// SPDX-License-Identifier: Apache-2.0

//go:build !race

package race

// Enabled is whether the race detector is on.
const Enabled = false

// Slower is by how much longer the program waits for what it computes.
const Slower = 1
