// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/spf13/cobra"

	"github.com/reconbeat/reconbeat/internal/printable"
)

// logInSentences has the log, which libbeat writes to standard error as JSON, come as sentences that leave the table
// whole. The function that it returns ends that.
func logInSentences(s *screen) (stop func(), err error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe for the log: %w", err)
	}
	stderr := os.Stderr
	os.Stderr = write // libbeat's loggers take it from here when they are made
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewReader(read)
		for {
			line, err := lines.ReadBytes('\n')
			if len(line) > 0 {
				if said := sentence(line); said != "" {
					s.note(stderr, said)
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return func() {
		os.Stderr = stderr
		write.Close()
		<-done
		read.Close()
	}, nil
}

// inSentences makes a Beat whose log comes as sentences until stop is called.
func inSentences(
	c *cobra.Command, s *screen, read func() (*instance.Beat, error),
) (b *instance.Beat, stop func(), err error) {
	if s.format == formatNDJSON || asItIs(c) {
		b, err = read()
		return b, func() {}, err
	}
	stderr := os.Stderr
	if stop, err = logInSentences(s); err != nil {
		return nil, nil, err
	}
	b, err = read()
	os.Stderr = stderr // the log goes on as sentences; what asks, or shows progress, needs the terminal
	return b, stop, err
}

// asItIs reports whether the user wants to see the log.
func asItIs(c *cobra.Command) bool {
	return c.Flags().Changed("e") || c.Flags().Changed("d") || c.Flags().Changed("v")
}

// fqdn begins libbeat's warning on every host whose full name no name server knows. No row shows that name.
const fqdn = "unable to lookup FQDN"

// sentence is what a line of the log says to a person; nothing where it is of no concern here, or a row says it. What
// is not a line of the log stays as it is.
func sentence(line []byte) string {
	var entry struct {
		Level   string `json:"log.level"`
		Message string `json:"message"`
		Action  string `json:"event.action"`
	}
	if err := json.Unmarshal(line, &entry); err != nil || entry.Message == "" {
		return strings.TrimSuffix(string(line), "\n")
	}
	if strings.HasPrefix(entry.Message, fqdn) || entry.Action != "" { // the table has the document's row
		return ""
	}
	about := map[string]string{"warn": "Note: ", "error": "Error: "}[entry.Level]
	return about + printable.Text(entry.Message)
}
