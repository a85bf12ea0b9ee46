#!/bin/sh
# Removes images without a tag, volumes without a container, and containers that have ended.
set -eu
for i in 1 2 3; do
    docker run --name step alpine sh -c "echo $i >/n" >/dev/null
    docker commit step app:latest >/dev/null
    docker rm step >/dev/null
done
docker images -f dangling=true --format '{{.Repository}} {{.Tag}}'
docker images -qf dangling=true | wc -l
docker rmi $(docker images -qf dangling=true) | grep -c Deleted
docker run --name user -v /one -v named:/two app:latest true
docker create --name fresh -v /three app:latest >/dev/null
docker rm $(docker ps -aq -f status=created -f status=exited) | sort
docker volume ls -qf dangling=true | wc -l
docker volume ls -qf dangling=true | grep -v named | xargs docker volume rm | wc -l
docker volume ls --format '{{.Name}}'
docker volume rm named
docker rmi app:latest | grep -c Untagged
docker images --format '{{.Repository}}' | sort
