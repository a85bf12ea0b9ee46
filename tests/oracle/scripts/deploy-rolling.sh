#!/bin/sh
# Replaces the instances of a service one after the other.
set -eu
for i in 1 2 3; do
    docker run -d --name web-$i --label service=web --label release=1 alpine sleep 1000 >/dev/null
done
for old in $(docker ps --filter label=service=web --filter label=release=1 --format '{{.Names}}' | sort); do
    docker rename $old $old-old
    docker run -d --name $old --label service=web --label release=2 alpine sleep 1000 >/dev/null
    docker inspect -f '{{.State.Running}}' $old
    docker rm -f $old-old
done
docker ps --filter label=service=web --format '{{.Names}} {{.Label "release"}}' | sort
docker ps -q --filter label=release=1 | wc -l
docker ps -q --filter label=service=web | xargs docker inspect -f '{{.Name}} {{.Config.Labels.release}}' | sort
docker ps -aq --filter label=service=web | xargs docker rm -f | wc -l
