#!/bin/sh
# Replaces a container with a rollback: rename the old one, start the new one, check it, or go back.
set -u
deploy() {
    docker rename web web-old 2>/dev/null || true
    docker stop -t 0 web-old >/dev/null 2>&1
    if docker run -d --name web --health-cmd "test $1 = good" --health-interval 200ms --health-retries 2 alpine sleep 1000 >/dev/null; then
        for i in $(seq 100); do
            s=$(docker inspect --format='{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}' web)
            [ "$s" = starting ] || break
            sleep 0.1
        done
        echo "$1: $s"
        if [ "$s" = healthy ]; then docker rm -f web-old >/dev/null 2>&1; return 0; fi
    fi
    docker rm -f web >/dev/null
    docker rename web-old web && docker start web
}
docker run -d --name web alpine sleep 1000 >/dev/null
first=$(docker inspect -f '{{.Id}}' web)
deploy good
[ "$(docker inspect -f '{{.Id}}' web)" != "$first" ] && echo replaced
second=$(docker inspect -f '{{.Id}}' web)
deploy bad
[ "$(docker inspect -f '{{.Id}}' web)" = "$second" ] && echo "rolled back"
docker ps -a --format '{{.Names}}'
docker rm -f web web-old 2>/dev/null
