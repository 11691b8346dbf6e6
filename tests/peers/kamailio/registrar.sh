#!/bin/bash
# registrar.sh PORT: foreground, ends on SIGTERM; state only in a temp dir
d=$(mktemp -d); exec kamailio -DD -E -f "$(dirname "$0")/registrar.cfg" -w $d -Y $d -P $d/kam.pid -m 32 -M 8 -A "LISTENPORT=$1"
