#!/bin/sh
# An application that only has the VPN container's network: ports, names, restarts.
set -eu
docker run -d --name vpn --hostname gateway --cap-add NET_ADMIN -p 127.0.0.1:8118:8118 --dns 192.0.2.53 --add-host tracker:192.0.2.9 alpine sleep 1000 >/dev/null
docker run -d --name proxy --network container:vpn alpine sh -c 'echo through the tunnel >/tmp/index.html; exec httpd -f -p 8118 -h /tmp' >/dev/null
for try in $(seq 50); do wget -qO- http://127.0.0.1:8118/ 2>/dev/null && break; sleep 0.1; done
docker exec vpn wget -qO- http://127.0.0.1:8118/
docker exec proxy hostname
docker exec proxy cat /etc/resolv.conf >a; docker exec vpn cat /etc/resolv.conf >b; cmp a b && echo "same resolver"
docker exec proxy grep -c tracker /etc/hosts
[ "$(docker exec proxy cat /sys/class/net/eth0/address)" = "$(docker exec vpn cat /sys/class/net/eth0/address)" ] && echo "same interface"
docker exec proxy ip route del default 2>/dev/null || echo "not permitted"
docker exec vpn ip route del default
docker exec vpn ip route | grep -c default || true
docker run --rm --network container:vpn -p 1:1 alpine true 2>/dev/null || echo "no ports of its own: $?"
docker run --rm --network container:none alpine true 2>/dev/null || echo "no such container: $?"
docker port proxy
docker inspect -f '{{len .NetworkSettings.Networks}} {{.Config.Hostname}}' proxy | sed 's/ .*//'
docker rm -f proxy vpn
