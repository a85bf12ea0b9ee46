#!/bin/sh
# The checks that installers make before they start.
command -v docker >/dev/null && echo "docker is there"
docker info >/dev/null 2>&1 && echo "and answers"
at_least() {
    [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -1)" = "$1" ]
}
version=$(docker version --format '{{.Server.Version}}')
at_least 17.03 "$version" && echo "server is new enough"
version=$(docker --version | sed 's/^Docker version \([0-9.]*\).*/\1/')
at_least 17.03 "$version" && echo "client is new enough"
at_least 1.24 "$(docker version -f '{{.Client.APIVersion}}')" && echo "API is new enough"
docker version --format '{{.Server.Os}}/{{.Server.Arch}}' | sed s/x86_64/amd64/
docker info --format '{{.OSType}} {{.Driver}} {{.Swarm.LocalNodeState}}'
docker info -f '{{.ServerVersion}}' | grep -c '^[0-9]'
docker info 2>/dev/null | grep -E '^ *(Server Version|Storage Driver|Docker Root Dir|Cgroup Driver):' | sed 's/:.*//; s/^ *//' | sort
docker info -f '{{.DockerRootDir}}'
docker info -f '{{.Nope}}' >/dev/null 2>&1 || echo "unknown field: $?"
docker ps >/dev/null && echo "permitted"
docker image inspect alpine >/dev/null 2>&1 || echo "must pull"
[ -n "$(docker images -q busybox:latest)" ] && echo "image is there"
[ -z "$(docker images -q busybox:9)" ] && echo "image is not there"
[ "$(docker inspect -f '{{.Architecture}}' alpine)" = amd64 ] && echo "right architecture"
docker help >/dev/null && echo "help: $?"
docker run --help | grep -cE '^ +-(d|p|v|e)[ ,]'
