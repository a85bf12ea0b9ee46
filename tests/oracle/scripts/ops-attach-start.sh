#!/bin/sh
# Interactive containers without a terminal: start -ai, attach, logs.
set -eu
docker create -i --name cat alpine sh -c 'read x; echo "got $x"; exit 4' >/dev/null
echo hello | docker start -ai cat || echo "status $?"
docker logs cat
docker run -d -i --name reader alpine cat >/dev/null
echo line | docker attach reader
docker wait reader
docker logs reader
docker run -i --rm alpine sh <<'END'
echo from a script
exit 0
END
docker rm cat reader
