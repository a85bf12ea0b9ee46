#!/bin/sh
# Removes everything with the label of a project, as `compose down -v` does.
# differs: volume prune keeps volumes with a name, as Docker 23 and later
set -eu
label=com.docker.compose.project=shop
docker network create --label $label shop_default >/dev/null
docker volume create --label $label shop_db >/dev/null
docker volume create --label com.docker.compose.project=blog blog_db >/dev/null
for service in web db; do
    docker run -d --name shop_${service}_1 --label $label --label com.docker.compose.service=$service --network shop_default \
        --network-alias $service -v shop_db:/data alpine sleep 1000 >/dev/null
done
docker ps --filter label=$label --format '{{.Label "com.docker.compose.service"}}' | sort
docker ps --filter label=com.docker.compose.service=db --filter label=$label -q | wc -l
docker ps --filter label=com.docker.compose.service --filter volume=shop_db --format '{{.Names}}' | sort
docker network rm shop_default >/dev/null 2>&1 || echo "in use: $?"
docker volume rm shop_db >/dev/null 2>&1 || echo "in use: $?"
docker ps -q --filter label=$label | xargs docker stop -t 0 | wc -l
docker ps -aq --filter label=$label | xargs docker rm | wc -l
docker network ls -q --filter label=$label | xargs docker network rm | wc -l
docker volume ls -q --filter label=$label | xargs docker volume rm
docker volume ls -q
docker volume prune -f --filter label=com.docker.compose.project=blog | sed 's/[0-9.]*k*B$//'
docker volume rm -f blog_db
