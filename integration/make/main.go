// SPDX-License-Identifier: Apache-2.0

// Command make makes the Fleet package for the build, which is of another module.
//
//	go run ./make generate PACKAGE ROOT    writes the generated parts of the package in a folder
//	go run ./make zip PACKAGE FOLDER       packs the package for Kibana's upload, and prints the file's name
package main

import (
	"fmt"
	"os"

	"github.com/reconbeat/reconbeat/integration"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var what string
	if len(args) > 0 {
		what, args = args[0], args[1:]
	}
	switch {
	case what == "generate" && len(args) == 2:
		return integration.Generate(args[0], args[1])
	case what == "zip" && len(args) == 2:
		file, err := integration.Zip(args[0], args[1])
		if err != nil {
			return err
		}
		fmt.Println(file)
		return nil
	}
	return fmt.Errorf("invalid arguments %q (want generate PACKAGE ROOT, or zip PACKAGE FOLDER)", os.Args[1:])
}
