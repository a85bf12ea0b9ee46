#!/bin/sh
# Reports the disk space of images, containers and volumes for a mail.
set -eu
docker volume create data >/dev/null
docker run --name big -v data:/data alpine sh -c 'head -c 2000000 /dev/zero >/data/file; head -c 3000000 /dev/zero >/file'
docker system df --format '{{.Type}}: {{.TotalCount}} {{.Active}}' | grep -v Cache
docker system df | awk 'NR == 1'
docker system df -v --format '{{json .Volumes}}' | grep -o '"Name":"data"'
docker ps -as --format '{{.Names}} {{.Size}}' | sed 's/ (.*//'
docker ps -a --filter name=big --size | awk 'NR == 1 {print $NF}'
docker inspect -s -f '{{.SizeRw}}' big | awk '{print ($1 >= 3000000 && $1 < 3100000)}'
docker inspect -f '{{.Size}}' alpine | awk '{print ($1 > 1000000)}'
docker run --rm -v data:/data:ro alpine du -k /data/file | awk '{print ($1 >= 1950 && $1 < 2100)}'
docker system df | awk '/^Local Volumes/ {print $3, $4}'
docker rm -v big
docker volume rm data
