// SPDX-License-Identifier: Apache-2.0

// Command integration asks Elastic's package-spec whether a Fleet package, a folder or a zip file, is valid. It is a
// tool of the repository: package-spec is under the Elastic License and is linked with nothing that ships.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/elastic/package-spec/v3/code/go/pkg/validator"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: integration FOLDER|FILE.zip")
		os.Exit(2)
	}
	validate := validator.ValidateFromPath
	if strings.HasSuffix(os.Args[1], ".zip") {
		validate = validator.ValidateFromZip
	}
	if err := validate(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "%s is not a valid package: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}
