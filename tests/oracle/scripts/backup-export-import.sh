#!/bin/sh
# Exports a container as a tar, imports it with changes, and runs it.
set -eu
docker run --name src alpine sh -c 'echo kept >/etc/kept; ln -s kept /etc/link; mkdir -m 700 /secret; chown 7:8 /etc/kept'
docker export src | tar tvf - --numeric-owner etc/kept etc/link secret | awk '{print $1, $2, $6, $7, $8}' | sort
docker export -o src.tar src
docker import -c 'CMD ["cat","/etc/link"]' -m 'from a backup' src.tar restored:1 >/dev/null
docker run --rm restored:1
cat src.tar | docker import - restored:2 >/dev/null
docker run --rm restored:2 stat -c '%u:%g %a' /etc/kept /secret
docker image inspect -f '{{.Comment}} {{json .Config.Cmd}} {{.Os}}' restored:1
docker history --format '{{.Comment}}' restored:1
docker rm src
docker rmi restored:1 restored:2 | grep -c Untagged
