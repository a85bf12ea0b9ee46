#!/bin/sh
# Prunes with filters: by label, by age, everything that is left.
docker create --name keep --label keep=yes alpine true >/dev/null
docker create --name drop alpine true >/dev/null
docker volume create --label keep=yes kept >/dev/null
docker volume create dropped >/dev/null
docker network create --label keep=yes kept >/dev/null
docker network create dropped >/dev/null
docker container prune -f --filter until=1h | tail -1
docker container prune -f --filter 'label!=keep' | grep -c '^[0-9a-f]\{64\}$'
docker network prune -f --filter 'label!=keep=yes'
docker volume ls -q; docker network ls -qf type=custom | wc -l; docker ps -a --format '{{.Names}}'
docker system prune -f --filter label=keep=yes | sed -E 's/^[0-9a-f]{64}$/ID/'
docker system prune -f | tail -1
docker network ls -qf type=custom | wc -l; docker ps -aq | wc -l
docker volume rm kept dropped; docker network prune -f
docker image prune -f --filter until=24h | tail -1
docker system prune -f --filter nonsense=1 2>/dev/null; echo "status $?"
echo n | docker container prune | grep -c WARNING
