#!/bin/sh
# Keeps the newest images of an application, and prunes unnamed and unused images.
set -eu
for release in 1 2 3 4; do
    docker run --name build alpine sh -c "echo $release >/release" >/dev/null
    docker commit --change "LABEL app=shop release=$release" build shop:$release >/dev/null
    docker rm build >/dev/null
done
docker images shop --format '{{.Repository}}:{{.Tag}}' | sort -t: -k2 -rn | tail -n +3 | xargs -r docker rmi | grep -c ^Deleted
docker images shop -q | wc -l
docker tag shop:3 shop:4
docker image ls --filter dangling=true -q | wc -l
docker image prune -f | sed -n 's/sha256:.*/ID/p' | sort -u
docker image prune -af --filter label=app=shop | grep -E '^(Deleted|untagged)'
docker image prune -f
docker volume prune -f
docker container prune -f
docker network prune -f
