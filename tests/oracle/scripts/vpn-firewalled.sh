#!/bin/sh
# A container with only the capability for its network, and a container without capabilities.
set -eu
docker network create --subnet 10.92.0.0/24 --gateway 10.92.0.1 tun-net >/dev/null
docker run -d --name wg --network tun-net --ip 10.92.0.2 --cap-drop ALL --cap-add NET_ADMIN --sysctl net.ipv4.conf.all.src_valid_mark=1 \
    --device /dev/net/tun:/dev/net/tun:rw --restart unless-stopped alpine sleep 1000 >/dev/null
docker exec wg cat /proc/sys/net/ipv4/conf/all/src_valid_mark
docker exec wg sh -c 'ip route add 10.99.0.0/16 via 10.92.0.1 && ip route | grep 10.99' | sed 's/ *$//'
docker exec wg sh -c 'ip rule | wc -l'
docker exec wg chown 1 /tmp 2>/dev/null || echo "no other capability"
docker run -d --name client --network tun-net --cap-drop all alpine sleep 1000 >/dev/null
docker exec client ip route add 10.99.0.0/16 via 10.92.0.2 2>/dev/null || echo "not permitted"
docker exec client sh -c 'echo 1 >/proc/sys/net/ipv4/conf/all/src_valid_mark' 2>/dev/null || echo "sysctl is read-only"
docker run --rm --sysctl kernel.msgmax=9000 alpine cat /proc/sys/kernel/msgmax
docker run --rm --sysctl kernel.panic=1 alpine true 2>/dev/null || echo "a sysctl of the host: $?"
docker run --rm --network host --sysctl net.ipv4.ip_forward=1 alpine true 2>/dev/null || echo "the host's network: $?"
docker run --rm --device /dev/none alpine true 2>/dev/null || echo "no such device"
docker inspect -f '{{.HostConfig.CapDrop}} {{.HostConfig.Sysctls}} {{.NetworkSettings.Networks.tun_net}}' wg
docker rm -f wg client
docker network rm tun-net
