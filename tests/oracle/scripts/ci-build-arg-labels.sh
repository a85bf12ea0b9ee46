#!/bin/sh
# Makes an image by commit with many changes, as CI without a Dockerfile does, and checks its config.
set -eu
cid=$(docker create alpine sh -c 'echo built')
docker start -a "$cid"
docker commit -a 'CI <ci@example.org>' -m 'build 7' -c 'ENV VERSION=1.2 NAME="my app"' -c 'EXPOSE 80 443/udp' \
    -c 'CMD ["sh","-c","echo $VERSION"]' -c 'ENTRYPOINT []' -c 'LABEL a=1 b="two words"' -c 'WORKDIR /srv' \
    -c 'USER nobody' -c 'VOLUME /cache' "$cid" ci:7 >/dev/null
docker rm "$cid" >/dev/null
docker image inspect -f '{{.Author}}|{{.Comment}}|{{json .Config.Env}}|{{json .Config.ExposedPorts}}|{{json .Config.Cmd}}' ci:7
docker image inspect -f '{{json .Config.Entrypoint}} {{json .Config.Labels}} {{.Config.WorkingDir}} {{.Config.User}} {{json .Config.Volumes}} {{.Config.StopSignal}}' ci:7
docker run --rm ci:7
docker run --rm ci:7 sh -c 'pwd; id -un'
docker run --rm -e VERSION=2 ci:7
docker history --format '{{.Comment}}' ci:7 | head -1
docker history -q ci:7 | wc -l
docker image inspect -f '{{len .RootFS.Layers}} {{.Os}} {{.Architecture}}' ci:7
[ "$(docker image inspect -f '{{.ID}}' ci:7)" = "$(docker images --no-trunc -q ci:7)" ] && echo same
docker rmi ci:7 | head -1
