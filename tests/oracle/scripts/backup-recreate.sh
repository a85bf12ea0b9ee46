#!/bin/sh
# Writes down how each container was started, removes it, and starts it again in the same way.
set -eu
docker run -d --name gitea --restart unless-stopped -p 127.0.0.1:3000:3000 -p 127.0.0.1:2222:22 -v gitea:/data -e ROOT_URL=https://git.example/ \
    -e LFS=true --label owner=me alpine sleep 1000 >/dev/null
cat >runlike.tpl <<'END'
docker run -d --name {{slice .Name 1}} --restart {{.HostConfig.RestartPolicy.Name}}
{{- range $port, $bindings := .HostConfig.PortBindings}}{{range $bindings}} -p {{.HostIp}}:{{.HostPort}}:{{$port}}{{end}}{{end}}
{{- range .HostConfig.Binds}} -v {{.}}{{end}}
{{- range .Config.Env}}{{if ne (slice . 0 4) "PATH"}} -e {{.}}{{end}}{{end}}
{{- range $key, $value := .Config.Labels}} --label {{$key}}={{$value}}{{end}} {{.Config.Image}}
{{- range .Config.Cmd}} {{.}}{{end}}
END
docker inspect -f "$(cat runlike.tpl)" gitea | sed 's/ -e \(HOSTNAME\|TERM\)=[^ ]*//g' >again.sh
# Docker prints the variables in any order.
tr ' ' '\n' <again.sh | sort
docker rm -f gitea >/dev/null
sh again.sh >/dev/null
docker exec gitea sh -c 'echo $ROOT_URL $LFS'
docker port gitea | sort
docker inspect gitea >gitea.json
grep -c '"Name": "/gitea"' gitea.json
docker rm -f gitea
docker volume rm gitea
