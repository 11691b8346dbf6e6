#!/bin/bash
# run.sh PORT NEXTHOP(e.g. sip:127.0.0.1:5060;transport=tcp): foreground, ends on SIGTERM; state only in a temp dir
d=$(mktemp -d); exec kamailio -DD -E -f "$(dirname "$0")/kam.cfg" -w $d -Y $d -P $d/kam.pid -m 32 -M 8 -A "LISTENPORT=$1" -A "NEXTHOP=\"$2\""
