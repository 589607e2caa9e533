// SPDX-License-Identifier: Apache-2.0

//go:build !cgo || osusergo

package host

// cgoNSS says that package os/user reads /etc/passwd and /etc/group only, so that getent must be asked for the rest.
const cgoNSS = false
