// SPDX-License-Identifier: Apache-2.0

// Command manual writes what a package ships beside the binary and what only the command line itself knows: a
// manual page for each command, and the completions of bash, zsh and fish. They are made when a package is made and so
// never lag behind the commands.
//
//	go run ./deploy/manual FOLDER
//
// writes FOLDER/man/*.1.gz and FOLDER/completion/. The pages carry the time in SOURCE_DATE_EPOCH, so that the same
// commit gives the same bytes.
package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/reconbeat/reconbeat/cmd"
)

// table is what stands in columns, indented by two blanks. To Markdown, which the page is made from, that is a
// paragraph; with four more it stays as it is.
var table = regexp.MustCompile(`(?m)^  \S`)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: manual FOLDER")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "manual:", err)
		os.Exit(1)
	}
}

func write(folder string) error {
	root := cmd.NewRootCommand()
	pages, completion := filepath.Join(folder, "man"), filepath.Join(folder, "completion")
	for _, dir := range []string{pages, completion} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return errors.Join(
		page(&root.Command, pages),
		root.GenBashCompletionFileV2(filepath.Join(completion, "reconbeat.bash"), true),
		root.GenZshCompletionFile(filepath.Join(completion, "_reconbeat")),
		root.GenFishCompletionFile(filepath.Join(completion, "reconbeat.fish"), true),
	)
}

// page writes the page of a command and those of the commands below it. Debian wants them compressed.
func page(c *cobra.Command, dir string) error {
	if c.Hidden || c.Name() == "help" {
		return nil
	}
	c.DisableAutoGenTag = true
	c.Long = table.ReplaceAllString(c.Long, "    $0")
	var text, packed bytes.Buffer
	if err := doc.GenMan(c, &doc.GenManHeader{Section: "1", Source: "reconbeat " + cmd.Version, Manual: "reconbeat"},
		&text); err != nil {
		return fmt.Errorf("the manual page of %s: %w", c.CommandPath(), err)
	}
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(text.Bytes()); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1.gz"
	if err := os.WriteFile(filepath.Join(dir, name), packed.Bytes(), 0o644); err != nil {
		return err
	}
	for _, below := range c.Commands() {
		if err := page(below, dir); err != nil {
			return err
		}
	}
	return nil
}
