#!/bin/sh
# Reports all containers by templates.
set -eu
docker network create --subnet 10.91.0.0/24 lan >/dev/null
docker run -d --name aa --network lan --ip 10.91.0.10 -e MODE=x -v data:/data --restart always --memory 32m alpine sleep 1000 >/dev/null
docker run -d --name bb --network lan --network-alias bee alpine sleep 1000 >/dev/null
for id in $(docker ps -q --no-trunc); do
    docker inspect -f '{{slice .Name 1}} {{.HostConfig.RestartPolicy.Name}} {{.HostConfig.Memory}}' $id
done | sort
docker inspect -f '{{range .Mounts}}{{.Name}} -> {{.Destination}}{{end}}' aa
docker inspect -f '{{range .Config.Env}}{{println .}}{{end}}' aa | grep MODE
docker inspect -f '{{.NetworkSettings.Networks.lan.IPAddress}}' aa
docker inspect -f '{{json .Config.Cmd}}' aa bb
docker inspect -f '{{if .State.Running}}up{{else}}down{{end}} {{len .Mounts}}' aa bb
docker network inspect lan -f '{{range .Containers}}{{.Name}} {{.IPv4Address}}
{{end}}' | sort
docker network inspect -f '{{(index .IPAM.Config 0).Subnet}}' lan
docker exec bb ping -c1 -w5 aa | grep -c '1 packets received'
docker exec aa ping -c1 -w5 bee | grep -c '1 packets received'
docker network disconnect lan bb
docker network connect --ip 10.91.0.77 lan bb
docker inspect -f '{{.NetworkSettings.Networks.lan.IPAddress}}' bb
docker network rm lan 2>/dev/null || echo "in use: $?"
docker rm -f aa bb
docker network rm lan
docker volume rm data
