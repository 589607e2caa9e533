// SPDX-License-Identifier: Apache-2.0

// Package notify hands alerts to people in other ways than the Beat's output: to a webhook, to syslog, or to a program
// on the host.
//
// Each Notifier reads the state's alert log by itself, at its own pace, and remembers how far it came: an alert is
// delivered at least once, also over a restart, and a target that hangs or refuses delays neither detection nor the
// other targets. What a limit holds back is counted, and the count is delivered.
package notify
