#!/bin/bash
# tls.sh UDPPORT TLSPORT GATEWAY CARRIER FOLDER: foreground, ends on SIGTERM; FOLDER has proxy.pem, proxy.key and ca.pem; GATEWAY
# and CARRIER are places such as sip:127.0.0.1:5061;transport=tls; state only in a temp dir
d=$(mktemp -d); exec kamailio -DD -E -f "$(dirname "$0")/tls.cfg" -w $d -Y $d -P $d/kam.pid -m 64 -M 8 -A "LISTENPORT=$1" -A "TLSPORT=$2" \
  -A "GATEWAY=\"$3\"" -A "CARRIER=\"$4\"" -A "CERTIFICATE=\"$5/proxy.pem\"" -A "KEY=\"$5/proxy.key\"" -A "CA=\"$5/ca.pem\""
