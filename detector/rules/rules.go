// SPDX-License-Identifier: Apache-2.0

// Package rules holds the rules that are shipped, one YAML file each.
//
// network-connection-discovery is the mission and on. The others are off: those of Elastic's sibling jobs (`rare by
// user.name` with another list of programs), and of tools beyond the four of the mission. A user turns one on, or
// changes it, by its id under reconbeat.detector.rules, and puts own ones into rules.d.
package rules

import "embed"

// Files has the rules at its top level.
//
//go:embed *.yml
var Files embed.FS
