#!/bin/sh
# A VPN container whose network another container uses, with a restart of the VPN.
set -eu
docker run -d --name vpn --cap-add NET_ADMIN --sysctl net.ipv4.conf.all.src_valid_mark=1 --dns 192.0.2.53 -p 127.0.0.1:9091:9091 alpine sleep 1000 >/dev/null
docker exec vpn sh -c 'ip link add wg0 type dummy 2>/dev/null || ip link add wg0 type bridge; ip addr add 10.66.0.2/32 dev wg0; ip link set wg0 up'
docker run -d --name torrent --network container:vpn alpine sh -c 'while :; do echo tracker | nc -l -p 9091; done' >/dev/null
docker exec torrent ip -4 addr show wg0 | awk '/inet/ {print $2}'
docker exec torrent cat /etc/resolv.conf | grep nameserver
docker exec torrent cat /proc/sys/net/ipv4/conf/all/src_valid_mark
docker inspect -f '{{.HostConfig.NetworkMode}}' torrent | sed "s/$(docker inspect -f '{{.Id}}' vpn)/VPN/"
docker inspect -f '{{json .NetworkSettings.Networks}} {{.NetworkSettings.IPAddress}}|' torrent
[ "$(docker exec torrent hostname)" = "$(docker exec vpn hostname)" ] && echo "one host name"
docker run --rm --network container:vpn -p 80:80 alpine true 2>/dev/null || echo "ports refused: $?"
docker run --rm --network container:none alpine true 2>/dev/null || echo "no such: $?"
docker network disconnect bridge torrent 2>/dev/null || echo "can't disconnect: $?"
docker rm -f torrent vpn
