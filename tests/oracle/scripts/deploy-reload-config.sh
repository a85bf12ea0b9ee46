#!/bin/sh
# Copies a new configuration into a running container, checks it there, and reloads the program.
set -eu
cat >server.sh <<'END'
load() { . /etc/server.conf; echo "level $level"; }
trap load HUP
trap 'echo stopping; exit 0' TERM
load
while :; do sleep 0.05; done
END
echo level=1 >server.conf
docker create --name server alpine sh /srv/server.sh >/dev/null
docker cp server.sh server:/srv/ 2>/dev/null || { mkdir srv && cp server.sh srv && docker cp srv server:/; }
docker cp server.conf server:/etc/server.conf
docker start server
seen() { until docker logs server 2>&1 | grep -q "$1"; do sleep 0.05; done; }
seen 'level 1'
echo level=2 >server.conf
docker cp server.conf server:/etc/server.conf
docker exec server sh -n /etc/server.conf && docker kill -s HUP server
seen 'level 2'
echo 'level=(' >broken.conf
docker cp broken.conf server:/tmp/new.conf
docker exec server sh -n /tmp/new.conf 2>/dev/null || echo "refused: $?"
docker restart -t 5 server
until [ "$(docker logs server | wc -l)" = 4 ]; do sleep 0.05; done
docker logs server
docker cp server:/etc/server.conf - | tar xO
docker diff server | grep -c server.conf
docker rm -f server
