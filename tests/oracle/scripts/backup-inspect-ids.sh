#!/bin/sh
# Writes an inventory of all containers before a backup, and recreates the volume list from it.
set -eu
docker volume create data >/dev/null
docker run -d --name app -h apphost -v data:/data -v "$PWD:/src:ro" -e MODE=prod --label backup=yes alpine sleep 1000 >/dev/null
docker run -d --name cache --tmpfs /tmp alpine sleep 1000 >/dev/null
id=$(docker inspect -f '{{.ID}}' app)
[ "$id" = "$(docker ps --no-trunc -qf name=app)" ] && echo "same id"
docker inspect -f '{{.ID}}' app cache | cut -c1-12 | xargs docker inspect -f '{{.Name}}' | tr -d /
docker ps -q --no-trunc | xargs docker inspect --format '{{.Name}} {{slice .ID 0 12}} {{.Image}}' | cut -d' ' -f1 | sort
for c in $(docker ps -aq --filter label=backup); do
    docker inspect -f '{{range .Mounts}}{{.Type}}:{{.Destination}}:{{.RW}}{{println}}{{end}}' "$c" | sort
    docker inspect -f '{{range .Config.Env}}{{println .}}{{end}}' "$c" | grep -v '^$'
done
docker inspect -f '{{json .Mounts}}' app | grep -o '"Name":"[a-z]*"'
docker inspect -f '{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}' app
docker inspect app | grep -c '"Destination"'
docker rm -f $(docker ps -aq) >/dev/null
docker volume rm data
