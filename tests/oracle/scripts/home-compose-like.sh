#!/bin/bash
# A poor man's compose: a table of services, made again only if their settings changed.
set -eu
services='
db|alpine|sleep 1000|-e A=1
web|busybox|sleep 1000|-e B=2 --link db:database
'
up() {
    while IFS='|' read -r name image command flags; do
        [ -n "$name" ] || continue
        hash=$(echo "$image $command $flags" | md5sum | cut -c1-8)
        if have=$(docker inspect -f '{{index .Config.Labels "hash"}}' "$name" 2>/dev/null) && [ "$have" = "$hash" ]; then
            echo "$name is up to date"
            continue
        fi
        docker rm -f "$name" >/dev/null 2>&1 || true
        docker run -d --name "$name" --label hash="$hash" $flags "$image" $command >/dev/null
        echo "$name made"
    done <<<"$services"
}
up
up
services=${services/B=2/B=3}
up
docker exec web env | grep -E '^(B|DATABASE_NAME|DATABASE_ENV_A)=' | sort
docker exec web grep -c database /etc/hosts
docker inspect -f '{{.HostConfig.Links}}' web
docker inspect --format '{{ .Config.Image }} {{ .Path }} {{ .Args }}' web db
docker inspect --format='{{.Config.Cmd}} {{.Config.Entrypoint}}' web
docker inspect -f '{{.Created}}' web | grep -cE '^[0-9]{4}-[0-9]{2}-[0-9]{2}T'
docker diff web | wc -l
docker exec web sh -c 'touch /new; rm /etc/group'
docker diff web | sort
docker rm -f web db
