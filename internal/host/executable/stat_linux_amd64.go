// SPDX-License-Identifier: Apache-2.0

package executable

import "golang.org/x/sys/unix"

const sysFstatat = unix.SYS_NEWFSTATAT
