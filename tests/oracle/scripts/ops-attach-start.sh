#!/bin/sh
# Interactive containers without a terminal: start -ai, and a script on stdin.
set -eu
docker create -i --name cat alpine sh -c 'read x; echo "got $x"; exit 4' >/dev/null
echo hello | docker start -ai cat || echo "status $?"
docker logs cat
docker run -i --rm alpine sh <<'END'
echo from a script
exit 0
END
docker rm cat
