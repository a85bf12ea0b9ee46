#!/bin/sh
# Lists which container answers on which port.
set -eu
docker run -d --name one -p 127.0.0.1:8090:80 -p 127.0.0.1:9053:53/udp alpine sleep 1000 >/dev/null
docker run -d --name two -p 127.0.0.1::80 alpine sleep 1000 >/dev/null
docker port one | sort
docker port one 80/tcp
docker port one 53/udp
docker port one 81 2>/dev/null || echo "not published: $?"
port=$(docker port two 80 | cut -d: -f2)
[ "$port" -gt 1024 ] && echo "some port"
docker inspect -f '{{range $p, $b := .NetworkSettings.Ports}}{{$p}}={{range $b}}{{.HostIp}}:{{.HostPort}} {{end}}{{end}}' one
docker inspect -f '{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}' one
docker ps --format '{{.Names}}: {{.Ports}}' --filter name=one
docker run --rm -p 127.0.0.1:8090:80 alpine true 2>/dev/null || echo "taken: $?"
docker ps -a --format '{{.Names}}' | sort
docker rm -f one two
