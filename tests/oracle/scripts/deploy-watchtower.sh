#!/bin/sh
# Recreates each container whose image name now means a newer image.
set -eu
release() {
    docker run --name build alpine sh -c "echo $1 >/release" >/dev/null
    docker commit build app:stable >/dev/null
    docker rm build >/dev/null
}
update() {
    for name in $(docker ps --filter label=autoupdate=yes --format '{{.Names}}' | sort); do
        image=$(docker inspect -f '{{.Config.Image}}' $name)
        runs=$(docker inspect -f '{{.Image}}' $name)
        newest=$(docker image inspect -f '{{.Id}}' $image)
        if [ "$runs" = "$newest" ]; then
            echo "$name: up to date"
            continue
        fi
        docker stop -t 0 $name >/dev/null
        docker rm $name >/dev/null
        docker run -d --name $name --label autoupdate=yes $image sleep 1000 >/dev/null
        echo "$name: now $(docker exec $name cat /release)"
    done
}
release 1
docker run -d --name one --label autoupdate=yes app:stable sleep 1000 >/dev/null
docker run -d --name other --label autoupdate=no app:stable sleep 1000 >/dev/null
update
release 2
docker images --filter dangling=true -q | wc -l
docker ps --format '{{.Image}}' --filter name=one | grep -cv app:stable || true
update
update
docker exec other cat /release
docker rm -f one other
docker image prune -f >/dev/null
docker rmi app:stable | head -1
