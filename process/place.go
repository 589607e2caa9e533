// SPDX-License-Identifier: Apache-2.0

package process

import "strings"

// Where an executable lies that its user may have put there, in words that follow its name.
const (
	InMemory    = "a file in memory"
	InTemporary = "in a temporary folder"
	InHome      = "in a home"
	InHidden    = "in a hidden folder"
)

// MemoryFile begins the name of a file that lies in memory alone, as the kernel calls it (memfd_create(2)).
const MemoryFile = "memfd:"

// IsInMemory reports whether the path of an executable is that of such a file.
func IsInMemory(executable string) bool {
	return strings.HasPrefix(strings.TrimPrefix(executable, "/"), MemoryFile)
}

// places are the folders that users can write on every distribution (FHS 3.0; file-hierarchy(7)), and those that
// servers keep their data in. What is not among them may be a user's, too: Event.Place has what the file system says.
var places = []struct{ folder, place string }{
	{"/tmp/", InTemporary},
	{"/var/tmp/", InTemporary},
	{"/dev/", InTemporary},
	{"/run/user/", InTemporary},
	{"/run/lock/", InTemporary},
	{"/var/lock/", InTemporary},
	{"/run/shm/", InTemporary},
	{"/var/run/user/", InTemporary},
	{"/var/crash/", InTemporary},
	{"/var/spool/", InTemporary},
	{"/var/mail/", InTemporary},
	{"/home/", InHome},
	{"/root/", InHome},
	{"/var/www/", InHome},
	{"/srv/www/", InHome},  // of SUSE
	{"/srv/http/", InHome}, // of Arch
	{"/srv/ftp/", InHome},
	{"/var/lib/mysql/", InHome},
	{"/var/lib/nginx/", InHome},
	{"/var/lib/pgsql/", InHome},
	{"/var/lib/php/", InHome},
	{"/var/lib/postgresql/", InHome},
	{"/var/lib/redis/", InHome},
	{"/var/lib/tomcat", InHome}, // tomcat9/
}

// Place says of the path of an executable that its user may have put it there; empty where nothing says so.
func Place(executable string) string {
	if IsInMemory(executable) {
		return InMemory
	}
	for _, p := range places {
		if strings.HasPrefix(executable, p.folder) {
			return p.place
		}
	}
	if strings.Contains(executable, "/.") {
		return InHidden
	}
	return ""
}
