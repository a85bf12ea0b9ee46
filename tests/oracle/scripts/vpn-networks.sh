#!/bin/sh
# Tests which containers on two networks reach each other.
set -eu
docker network create front >/dev/null
docker network create --internal back >/dev/null
docker run -d --name proxy --network front alpine sleep 1000 >/dev/null
docker network connect --alias gateway back proxy
docker run -d --name app --network back alpine sh -c 'mkdir /w; echo app >/w/index.html; httpd -f -p 80 -h /w' >/dev/null
tries=0
until docker exec proxy wget -qO- http://app/ 2>/dev/null; do tries=$((tries + 1)); [ $tries -lt 50 ]; sleep 0.1; done
docker exec app ping -c1 -w5 gateway | grep -c '1 packets received'
docker inspect -f '{{range $n, $e := .NetworkSettings.Networks}}{{$n}} {{end}}' proxy
docker network inspect -f '{{.Internal}} {{.Driver}} {{.Scope}}' front back
docker network ls --filter name=back --format '{{.Name}} {{.Internal}}'
docker network ls --filter driver=bridge --format '{{.Name}}' | sort
docker ps --filter network=back --format '{{.Names}}' | sort
docker network disconnect back proxy
docker exec proxy ping -c1 -w2 app >/dev/null 2>&1 || echo "no way"
docker rm -f proxy app
docker network rm front back
docker network inspect front 2>/dev/null || echo "gone: $?"
