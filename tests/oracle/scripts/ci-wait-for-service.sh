#!/bin/sh
# Starts a service, waits until it answers, and tests it.
set -eu
docker network create ci >/dev/null
docker run -d --name api --network ci alpine sh -c 'mkdir /www; echo pong >/www/ping; httpd -f -p 80 -h /www' >/dev/null
tries=0
until docker run --rm --network ci alpine wget -qO- http://api/ping 2>/dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 50 ] || exit 1
    sleep 0.1
done
docker ps --filter name=api --format '{{.Names}} {{.Image}} {{.State}}'
docker inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}}{{end}}' api
docker rm -f api
docker network rm ci
