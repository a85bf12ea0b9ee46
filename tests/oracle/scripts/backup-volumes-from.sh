#!/bin/sh
# Backs up all mounts of a container by --volumes-from, as in Docker's documentation of volumes.
set -eu
docker create -v dbdata:/dbdata -v /config --name dbstore alpine true
docker run --rm --volumes-from dbstore alpine sh -c 'echo rows >/dbdata/table; echo key=1 >/config/app.conf'
docker run --rm --volumes-from dbstore -v "$PWD":/backup alpine tar cf /backup/backup.tar /dbdata /config 2>/dev/null
tar tf backup.tar | sort
docker create -v dbdata2:/dbdata -v /config --name dbstore2 alpine true >/dev/null
docker run --rm --volumes-from dbstore2 -v "$PWD":/backup alpine sh -c 'cd / && tar xf /backup/backup.tar'
docker run --rm --volumes-from dbstore2:ro alpine sh -c 'cat /dbdata/table /config/app.conf; touch /dbdata/x 2>/dev/null || echo read-only'
docker inspect -f '{{range .Mounts}}{{.Destination}} {{.Driver}} {{.Mode}}{{"\n"}}{{end}}' dbstore2 | sort
docker rm -v dbstore dbstore2
docker volume ls -q | sort
docker volume rm dbdata dbdata2
