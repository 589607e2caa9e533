// SPDX-License-Identifier: Apache-2.0

// Package deploy has no code of its own. Its folder is what brings reconbeat to a host and keeps it running there: the
// table of the packages' files (nfpm.yml), their scripts, the systemd unit, the wrapper in /usr/bin; docs/packages.md
// tells how they are used. The tests install, upgrade and remove the packages that `go tool mage package` has made, for
// real, in a copy of this host's file system that vanishes with the test.
package deploy
