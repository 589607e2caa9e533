package main

import (
	"os"

	"github.com/reconbeat/reconbeat/cmd"
)

func main() {
	if err := cmd.RootCmd.Execute(); err != nil {
		os.Exit(1)
	}
}
