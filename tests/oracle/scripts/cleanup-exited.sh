#!/bin/sh
# Common one-line clean-ups for cron.
set -eu
for code in 0 1 2; do
    docker run --name "exit-$code" alpine sh -c "exit $code" || true
done
docker run -d --name keep alpine sleep 1000 >/dev/null
docker create --name fresh alpine >/dev/null
docker ps -a --filter status=exited --format '{{.Names}}' | sort
docker ps -aq -f status=exited -f exited=0 | wc -l
docker ps -a -f status=created --format '{{.Names}}'
docker rm $(docker ps -aq -f status=exited) | wc -l
docker container prune -f | sed -n 's/^Total.*/reclaimed/p'
docker ps -a --format '{{.Names}}'
docker kill keep
docker rm -v keep
docker ps -aq | xargs -r docker rm -f
