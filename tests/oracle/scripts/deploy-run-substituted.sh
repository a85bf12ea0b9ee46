#!/bin/bash
# Deploys with flags that other commands print, and arrays of arguments.
set -eu
cat >app.env <<EOF
# the database
DB_HOST=db
DB_PASS=p@ss word=1

FROM_SHELL
EOF
export FROM_SHELL=yes
args=(--name app --env-file app.env --restart unless-stopped --log-opt max-size=1m)
for label in team=web tier=front; do args+=(--label "$label"); done
docker run -d "${args[@]}" $(echo -p 127.0.0.1::80 --memory 64m) alpine sleep 1000 >/dev/null
docker exec app env | grep -E '^(DB_|FROM)' | sort
docker inspect -f '{{json .Config.Env}}' app | tr ',' '\n' | tr -d '[]' | sort
port=$(docker port app 80 | cut -d: -f2)
[ "$port" -gt 1024 ] && echo "port chosen"
docker port app | sed "s/$port/PORT/"
docker inspect -f '{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}' app | sed "s/$port/PORT/"
docker inspect -f '{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.Memory}} {{.HostConfig.LogConfig.Config}}' app
docker inspect -f '{{with .HostConfig.RestartPolicy}}{{.Name}}:{{.MaximumRetryCount}}{{end}}' app
docker ps --format '{{.Names}}: {{.Label "team"}}/{{.Label "tier"}}'
ip=$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' app)
[ "$ip" = "$(docker exec app tail -1 /etc/hosts | cut -f1)" ] && echo "hosts has $(echo $ip | tr -cd . | wc -c) dots"
[ "$ip" = "$(docker exec app hostname -i)" ] && echo "hostname -i too"
docker update --memory 128m --memory-swap 256m --restart no app
docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.RestartPolicy.Name}}' app
docker kill app
docker container prune -f | grep -vc Total
