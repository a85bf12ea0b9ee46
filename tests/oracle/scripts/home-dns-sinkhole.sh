#!/bin/sh
# Updates a DNS sinkhole: the new container gets all settings of the old one.
set -eu
start() {
    docker run -d --name pihole -p 127.0.0.1:5353:53/tcp -p 127.0.0.1:5353:53/udp -p 127.0.0.1:8053:80 -e TZ=Europe/Berlin \
        -v "$PWD/etc-pihole":/etc/pihole --dns=192.0.2.53 --dns=192.0.2.1 --restart=unless-stopped --hostname pi.hole -e VIRTUAL_HOST=pi.hole \
        --cap-add=NET_ADMIN --shm-size=32m busybox sh -c 'cp /etc/pihole/list /tmp; exec httpd -f -p 80 -h /tmp' >/dev/null
}
mkdir etc-pihole && echo ads.example >etc-pihole/list
start
docker rename pihole pihole-old
docker stop -t 0 pihole-old >/dev/null
echo tracker.example >>etc-pihole/list
start
for try in $(seq 50); do wget -qO- http://127.0.0.1:8053/list && break; sleep 0.1; done 2>/dev/null
docker rm pihole-old
docker exec pihole sh -c 'hostname; grep nameserver /etc/resolv.conf; df -k /dev/shm | tail -1 | awk "{print \$2}"'
docker port pihole | sort
docker inspect -f '{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.ShmSize}} {{.HostConfig.Dns}}' pihole
docker update --restart=no pihole
docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' pihole
docker stop -t 0 pihole
docker ps -a --format '{{.Names}}: {{.State}} {{.Ports}}'
docker rm pihole
