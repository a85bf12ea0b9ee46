#!/bin/sh
# Reloads by a signal, stops in order, and prints the statuses.
set -eu
docker run -d --name daemon alpine sh -c 'trap "echo reload" HUP; trap "echo bye; exit 3" TERM; echo up; while :; do sleep 0.05; done' >/dev/null
until docker logs daemon | grep -q up; do sleep 0.05; done
docker kill -s HUP daemon
until docker logs daemon | grep -q reload; do sleep 0.05; done
docker stop daemon
docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}' daemon
docker logs daemon
docker start daemon
until [ "$(docker logs daemon | grep -c up)" = 2 ]; do sleep 0.05; done
docker kill --signal=9 daemon
docker wait daemon
docker kill daemon 2>/dev/null || echo "not running: $?"
docker stop daemon
docker restart -t 0 daemon
docker pause daemon
docker ps --filter status=paused --format '{{.Names}} {{.State}}'
docker exec daemon true 2>/dev/null || echo "paused: $?"
docker unpause daemon
docker rm daemon 2>/dev/null || echo "running: $?"
docker rm -f daemon
docker rm -f daemon >/dev/null 2>&1 || true
