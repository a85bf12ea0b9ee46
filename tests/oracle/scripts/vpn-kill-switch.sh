#!/bin/sh
# Stops the torrent container whenever the tunnel is down.
set -eu
docker run -d --name tunnel alpine sleep 1000 >/dev/null
docker run -d --name torrent --network container:tunnel alpine sleep 1000 >/dev/null
mode=$(docker inspect -f '{{.HostConfig.NetworkMode}}' torrent)
id=$(docker inspect -f '{{.Id}}' tunnel)
[ "$mode" = "container:$id" ] && echo "shares the tunnel"
docker kill tunnel >/dev/null
docker inspect -f '{{.State.Running}} {{.State.ExitCode}}' tunnel
if [ "$(docker inspect -f '{{.State.Running}}' tunnel)" != true ]; then
    docker pause torrent
    docker inspect -f '{{.State.Status}} {{.State.Paused}}' torrent
    docker unpause torrent
fi
docker rm -f torrent tunnel
