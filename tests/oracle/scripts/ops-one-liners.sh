#!/bin/sh
# One-liners from answers and cheat sheets.
docker run -d --name aa alpine sleep 1000 >/dev/null
docker run -d --name bb --network none alpine sleep 1000 >/dev/null
docker ps -q | xargs docker inspect --format '{{ .Name }} {{ .NetworkSettings.Networks }}' >/dev/null && echo ok
docker inspect --format='{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' bb
docker inspect $(docker ps -q) --format='{{printf "%-10s" .Name}}|{{.State.Status}}' | sort
docker ps -a --filter "status=exited" --filter "status=created" -q | wc -l
docker inspect --format '{{.State.Pid}}' aa | grep -c '^[0-9]*$'
nsenter -t "$(docker inspect -f '{{.State.Pid}}' aa)" -n ip -o link | wc -l
cat /proc/$(docker inspect -f '{{.State.Pid}}' aa)/cmdline | tr '\0' ' '; echo
docker inspect -f '{{.HostConfig.Binds}} {{.HostConfig.PortBindings}} {{.HostConfig.Privileged}}' aa
docker container inspect aa -f '{{.Driver}} {{.Platform}}'
docker inspect --type=volume aa 2>/dev/null || echo "no volume: $?"
docker inspect --type=image alpine -f '{{.Config.Cmd}}'
docker image ls -q | sort -u | wc -l
docker image ls --format '{{.Repository}}:{{.Tag}}' | sort
docker run --rm -v /etc/hostname:/host:ro alpine cat /host | cmp - /etc/hostname && echo mounted
docker run --rm -i alpine sh -s -- x y <<'EOF'
echo "args $# $1"
EOF
echo 'echo piped' | docker run --rm -i alpine
docker run --rm --entrypoint cat alpine /etc/mtab | grep -c ' / '
docker run --rm alpine sh -c 'ls -d /.dockerenv; hostname | wc -c; cat /proc/1/comm'
docker run --rm --read-only alpine touch /x 2>/dev/null || echo "read-only: $?"
docker run --rm -u 1000 --cap-drop ALL alpine sh -c 'id -u; grep CapEff /proc/self/status'
docker run --rm --init alpine ps -o pid,comm | grep -c init
docker run --rm --pids-limit 20 --ulimit nofile=99 alpine sh -c 'ulimit -n'
docker version -f '{{.Server.Os}}/{{.Server.Arch}}'
docker info -f '{{.OSType}} {{.Architecture}} {{.ContainersRunning}} {{.Images}}'
docker system df --format '{{.Type}}: {{.TotalCount}}' | head -3
docker kill $(docker ps -q) | wc -l
docker rm $(docker ps -aq) | wc -l
