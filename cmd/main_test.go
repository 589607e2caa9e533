// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"os"
	"testing"
)

// asReconbeat in the environment makes the test binary be reconbeat, so that tests run the real command line without a build of their own.
const asReconbeat = "RECONBEAT_TEST_AS_RECONBEAT"

func TestMain(m *testing.M) {
	if os.Getenv(asReconbeat) != "" {
		if err := NewRootCommand().Execute(); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
