// SPDX-License-Identifier: Apache-2.0

// Command reconbeat alerts when an unusual user looks at this host's network connections. See package cmd for its
// command line.
package main

import (
	"os"

	"github.com/reconbeat/reconbeat/cmd"
)

func main() {
	if err := cmd.NewRootCommand().Execute(); err != nil {
		os.Exit(1)
	}
}
