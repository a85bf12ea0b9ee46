#!/bin/sh
# The usual "stop, remove, run". The first time there is no container to stop.
NAME=web
deploy() {
    docker stop -t 1 $NAME >/dev/null 2>&1 || true
    docker rm $NAME >/dev/null 2>&1 || true
    docker run -d --restart unless-stopped --name $NAME -p 127.0.0.1:8081:80 -e RELEASE="$1" alpine \
        sh -c 'echo "release $RELEASE" >/tmp/index.html; exec httpd -f -p 80 -h /tmp' >/dev/null
}
for release in 1 2; do
    deploy $release
    for try in $(seq 50); do
        wget -qO- http://127.0.0.1:8081/ 2>/dev/null && break
        sleep 0.1
    done
done
docker inspect -f '{{.HostConfig.RestartPolicy.Name}} {{.RestartCount}}' $NAME
docker port $NAME
docker port $NAME 80
docker ps --filter publish=8081 --format '{{.Names}} {{.Ports}}'
docker rm -f $NAME
