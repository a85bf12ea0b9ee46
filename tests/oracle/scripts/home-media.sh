#!/bin/sh
# A media server: user and groups of the host, a read-only library, devices, limits.
set -eu
mkdir -p media cache
echo film >media/film.mkv
chown 1234:1234 cache
docker run -d --name media --user 1234:1234 --group-add 29 -v "$PWD/media":/media:ro -v "$PWD/cache":/cache \
    --memory 64m --cpus 0.5 --read-only --tmpfs /tmp --init --device /dev/null:/dev/dri0 alpine sleep 1000 >/dev/null
docker exec media id
docker exec media cat /media/film.mkv
docker exec media sh -c 'echo x >/media/y' 2>/dev/null || echo "library is read-only"
docker exec media sh -c 'echo x >/y' 2>/dev/null || echo "root is read-only"
docker exec media sh -c 'echo thumb >/cache/film.jpg && stat -c "%u:%g" /cache/film.jpg'
docker exec media ps -o pid,args | awk '$1 == 1 {print $2 != "sleep"}'
docker exec media sh -c 'ls -l /dev/dri0 | cut -c1'
docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.ReadonlyRootfs}} {{.Config.User}}' media
cat cache/film.jpg
docker rm -f media
