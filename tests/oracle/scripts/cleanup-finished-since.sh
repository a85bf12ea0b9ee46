#!/bin/sh
# Removes the containers that ended before a certain time.
set -eu
docker run --name ended alpine true
docker run -d --name runs alpine sleep 1000 >/dev/null
docker create --name never alpine true >/dev/null
now=$(date +%s)
for name in $(docker ps -a --format '{{.Names}}' | sort); do
    finished=$(docker inspect -f '{{.State.FinishedAt}}' $name)
    case $finished in
    0001-01-01T00:00:00Z) echo "$name: has not ended" ;;
    *)
        age=$((now - $(date -d "$finished" +%s)))
        [ $age -lt 3600 ] && echo "$name: ended within the hour"
        ;;
    esac
done
docker ps -a --filter status=exited --format '{{.Names}} {{.Status}}' | sed 's/) .*/)/'
docker ps -a --format '{{.Names}}: {{.RunningFor}}' | grep -c ago
docker inspect -f '{{.State.StartedAt}}' never
docker container prune -f --filter until=10m
docker ps -a --filter exited=0 --filter status=exited --format '{{.Names}}'
docker ps -a --filter before=never --format '{{.Names}}' | sort
docker ps -a --filter since=ended --format '{{.Names}}' | sort
docker container prune -f | grep -c Deleted
docker rm -f runs never 2>/dev/null || true
