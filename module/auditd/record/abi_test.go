// SPDX-License-Identifier: Apache-2.0

package record

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestTheNativeABIHasTheCallsThatGoMakes(t *testing.T) {
	native := ABIs(runtime.GOARCH)[0]
	require.EqualValues(t, unix.SYS_EXECVE, native.Execve)
	require.EqualValues(t, unix.SYS_EXECVEAT, native.Execveat)
	require.Empty(t, ABIs("riscv64"))
}
