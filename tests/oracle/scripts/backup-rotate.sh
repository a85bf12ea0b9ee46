#!/bin/sh
# Stops a container, archives its volume, starts it again, and keeps the two newest archives.
set -eu
docker volume create wiki-data >/dev/null
docker run -d --name wiki -l backup.stop=true -v wiki-data:/data alpine sh -c 'trap "exit 0" TERM; while :; do sleep 0.1; done' >/dev/null
mkdir archive
for day in 2024-01-01 2024-01-02 2024-01-03; do
    docker exec wiki sh -c "echo $day >>/data/pages"
    stopped=$(docker ps -q --filter label=backup.stop=true)
    docker stop $stopped >/dev/null
    docker run --rm -v wiki-data:/from:ro -v "$PWD/archive":/to alpine tar czf /to/wiki-$day.tgz -C /from .
    docker start $stopped >/dev/null
    docker inspect -f '{{.Name}} {{.State.Status}} {{.RestartCount}}' $stopped
done
ls -r archive | tail -n +3 | sed 's,^,archive/,' | xargs rm -v
tar xzOf archive/wiki-2024-01-03.tgz ./pages
docker rm -fv wiki
docker volume rm wiki-data
