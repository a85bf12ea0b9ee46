#!/bin/sh
# Saves every named image into one archive, and loads it again as on another machine.
set -eu
docker tag busybox:latest shop/api:1.0
docker tag alpine shop/web:2.1-rc.1
docker images --format '{{.Repository}}:{{.Tag}}' --filter reference='shop/*' | sort >list
cat list
docker save $(cat list) -o images.tar
tar xOf images.tar manifest.json | tr ',' '\n' | grep -o 'shop/[a-z]*:[0-9a-z.-]*' | sort
xargs docker rmi <list | grep Untagged: | sort
docker images -q 'shop/*' | wc -l
docker load <images.tar | sort
while read -r image; do
    docker run --rm "$image" sh -c 'echo "${BUSYBOX:-none}"'
done <list
docker rmi $(cat list) | sort
