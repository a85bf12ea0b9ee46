#!/bin/sh
# A VPN client with its capabilities and its device, and an application in its network namespace.
set -eu
docker run -d --name vpn --cap-add NET_ADMIN --device /dev/net/tun --sysctl net.ipv4.ip_forward=1 \
    --dns 192.0.2.53 --dns-search vpn.example alpine sleep 1000 >/dev/null
docker exec vpn sh -c 'ip tuntap add tun0 mode tun 2>/dev/null || tunctl -t tun0 >/dev/null; ip addr add 10.8.0.2/24 dev tun0; ip link set tun0 up; ip -4 addr show tun0 | grep -o "inet [0-9./]*"'
docker exec vpn cat /proc/sys/net/ipv4/ip_forward
docker exec vpn grep -v '^#' /etc/resolv.conf
docker run --rm --network container:vpn alpine ip -4 addr show tun0 | grep -o 'inet [0-9./]*'
docker run --rm --network container:vpn alpine sh -c 'ip link set tun0 down' 2>/dev/null || echo "not permitted: $?"
docker inspect -f '{{.HostConfig.CapAdd}} {{range .HostConfig.Devices}}{{.PathOnHost}} {{.CgroupPermissions}}{{end}}' vpn | tr -d '[]' | sed s/CAP_//
docker rm -f vpn
