// SPDX-License-Identifier: Apache-2.0

package binary

import "golang.org/x/sys/unix"

const sysFstatat = unix.SYS_NEWFSTATAT
