#!/bin/sh
# Removes unused volumes.
set -eu
docker volume create used
docker volume create unused
docker run -d --name holder -v used:/a -v /anonymous alpine sleep 1000 >/dev/null
docker volume ls -qf dangling=true
docker volume rm used 2>/dev/null || echo "in use: $?"
docker inspect -f '{{range .Mounts}}{{.Destination}} {{.Type}} {{.RW}}
{{end}}' holder | sort
docker rm -fv holder
docker volume ls -q | sort
docker volume prune -f --filter label=none | head -1
docker volume rm unused used
docker volume ls
