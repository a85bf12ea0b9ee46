#!/bin/sh
# Backs up every volume with a certain label.
set -eu
for name in mail wiki cache; do
    label=backup=yes
    [ $name = cache ] && label=backup=no
    docker volume create --label $label $name >/dev/null
    docker run --rm -v $name:/v alpine sh -c "echo $name >/v/file"
done
for volume in $(docker volume ls -q --filter label=backup=yes | sort); do
    docker run --rm -v "$volume":/volume:ro alpine tar cf - -C /volume . >"$volume.tar"
    echo "$volume: $(tar tf "$volume.tar" | grep -c file)"
done
docker volume ls --format '{{.Name}} {{.Driver}} {{.Label "backup"}}' | sort
docker volume rm mail wiki cache | sort
