#!/bin/sh
# Saves an image as a compressed archive, removes it, loads it again, and compares.
set -eu
docker tag alpine mirror.example/alpine:3
docker save mirror.example/alpine:3 | gzip >alpine.tgz
docker rmi mirror.example/alpine:3 >/dev/null
gunzip -c alpine.tgz | docker load
docker inspect -f '{{index .RepoTags 0}}' mirror.example/alpine:3
docker save -o both.tar alpine mirror.example/alpine:3
tar tf both.tar | grep -c manifest.json
docker load -q -i both.tar | sort
[ "$(docker inspect -f '{{.Id}}' alpine)" = "$(docker inspect -f '{{.Id}}' mirror.example/alpine:3)" ] && echo same image
docker rmi mirror.example/alpine:3
