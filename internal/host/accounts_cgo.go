// SPDX-License-Identifier: Apache-2.0

//go:build cgo && !osusergo

package host

// cgoNSS says that package os/user asks the C library, and with it every NSS source of the host.
const cgoNSS = true
