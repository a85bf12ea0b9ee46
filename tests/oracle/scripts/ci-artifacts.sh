#!/bin/sh
# Copies sources into a container, builds there, and copies the artifacts out.
set -eu
mkdir -p src/lib
echo 'int main;' >src/main.c
echo 'int lib;' >src/lib/lib.c
id=$(docker create -w /src alpine sh -c 'mkdir -p out && cat main.c lib/lib.c >out/all.o && ls -R /src')
docker cp src/. "$id":/src
docker start -a "$id"
docker cp "$id":/src/out - | tar tf -
docker cp "$id":/src/out/all.o artifact.o
cat artifact.o
docker cp "$id":/src/none . 2>/dev/null || echo "no such file: $?"
docker wait "$id"
docker rm "$id" >/dev/null
