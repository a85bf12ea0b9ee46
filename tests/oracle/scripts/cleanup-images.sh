#!/bin/sh
# Removes the old tags of an image, keeps the latest two, prunes what dangles.
set -eu
for n in 1 2 3 4; do
    docker tag alpine app:v$n
done
docker images app --format '{{.Tag}}' | sort -r | tail -n +3 | xargs -I{} docker rmi app:{}
docker images --filter reference='app:*' --format '{{.Repository}}:{{.Tag}}' | sort
docker run --name layer alpine touch /new
docker commit layer app:v4 >/dev/null
docker commit --change 'LABEL x=1' layer app:v4 >/dev/null
docker rm layer
docker images -f dangling=true -q | wc -l
docker image prune -f | grep -c '^deleted'
docker images -f dangling=true -q | wc -l
docker rmi -f $(docker images -q app | sort -u) >/dev/null
docker image inspect app:v4 >/dev/null 2>&1 || echo "gone: $?"
