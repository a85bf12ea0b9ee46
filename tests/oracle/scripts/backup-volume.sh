#!/bin/sh
# Backs up a named volume to a tar archive, removes the volume, and restores it.
set -eu
docker volume create app-data
docker run --rm -v app-data:/data busybox sh -c 'mkdir /data/db && echo rows >/data/db/table'
docker run --rm -v app-data:/data:ro -v "$PWD":/backup busybox tar czf /backup/app-data.tgz -C /data .
docker volume rm app-data
docker volume create app-data >/dev/null
docker run --rm -v app-data:/data -v "$PWD":/backup busybox tar xzf /backup/app-data.tgz -C /data
docker run --rm -v app-data:/data busybox cat /data/db/table
tar tzf app-data.tgz | sort
docker volume rm -f app-data
