#!/bin/sh
# Starts the new version beside the old one, checks it, and swaps the names.
set -eu
start() {
    docker run -d --name "$1" -l version="$2" alpine sh -c "trap 'exit 0' TERM; while :; do sleep 0.1; done" >/dev/null
}
start shop 1
start shop-next 2
[ "$(docker inspect -f '{{.State.Running}}' shop-next)" = true ]
docker rename shop shop-old
docker rename shop-next shop
docker stop shop-old
docker rm shop-old
docker ps --format 'table {{.Names}}\t{{.Label "version"}}'
docker inspect --format '{{.Name}} {{index .Config.Labels "version"}}' shop
docker stop -t 2 shop >/dev/null
docker inspect --format '{{.State.Status}} {{.State.ExitCode}}' shop
docker rm shop
