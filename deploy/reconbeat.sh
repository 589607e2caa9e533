#!/bin/sh
# Runs reconbeat with the paths of the package, as the service does. A flag wins over each of these, wherever it stands, and so does path.data or path.logs in the configuration.
umask 0027
export RECONBEAT_PATH_HOME=/usr/share/reconbeat
export RECONBEAT_PATH_CONFIG=/etc/reconbeat
export RECONBEAT_PATH_DATA=/var/lib/reconbeat
export RECONBEAT_PATH_LOGS=/var/log/reconbeat
exec /usr/share/reconbeat/bin/reconbeat "$@"
