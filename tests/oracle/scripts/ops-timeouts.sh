#!/bin/sh
# Commands with time limits, and containers that ignore signals.
docker run -d --name deaf alpine sh -c 'trap "" TERM; echo ready; while :; do sleep 0.1; done' >/dev/null
for i in $(seq 100); do docker logs deaf 2>&1 | grep -q ready && break; sleep 0.1; done
timeout 0.5 docker wait deaf; echo "wait: $?"
timeout 0.5 docker logs -f deaf; echo "logs: $?"
docker inspect -f '{{.State.Running}}' deaf
docker stop -t 1 deaf
docker inspect -f '{{.State.ExitCode}}' deaf
docker start deaf
docker kill -s TERM deaf; docker inspect -f '{{.State.Running}}' deaf
docker kill deaf; docker wait deaf
docker kill deaf 2>/dev/null; echo "kill again: $?"
docker stop deaf; echo "stop again: $?"
timeout -s INT 2 docker run --rm --name int alpine sh -c 'trap "echo caught; exit 9" INT; while :; do sleep 0.1; done'; echo "run: $?"
docker ps -a --format '{{.Names}}'
docker rm deaf
