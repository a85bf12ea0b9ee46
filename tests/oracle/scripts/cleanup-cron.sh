#!/bin/sh
# /etc/cron.weekly/docker-prune
set -eu
docker run --name old alpine true
docker run -d --name keep alpine sleep 1000 >/dev/null
docker volume create scratch >/dev/null
docker network create scratch >/dev/null
before=$(docker ps -aq | wc -l)
docker system prune -f --filter until=1h | tail -1
echo "$before $(docker ps -aq | wc -l)"
docker system prune -f | grep -E '^(Deleted|Total)' | sed 's/[0-9.]*k*B$//'
docker ps -a --format '{{.Names}}'
docker network ls --format '{{.Name}}' | sort
docker volume ls -q
docker volume rm scratch
docker rm -f keep
