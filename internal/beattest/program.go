// SPDX-License-Identifier: Apache-2.0

package beattest

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// WriteProgram writes a file that is to be run, while other tests start processes. None of those gets hold of the file
// as it is open for writing: the kernel would run it for nobody ("text file busy").
func WriteProgram(t testing.TB, path, text string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	require.NoError(t, os.Chmod(path, 0o755)) // whatever the umask is
}
