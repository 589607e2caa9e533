#!/bin/sh
# Runs reconbeat with the paths of the package, as the service does. A flag given here wins over the one set below.
umask 0027
exec /usr/share/reconbeat/bin/reconbeat \
	--path.home /usr/share/reconbeat \
	--path.config /etc/reconbeat \
	--path.data /var/lib/reconbeat \
	--path.logs /var/log/reconbeat \
	"$@"
