#!/bin/sh
# Home automation: host network, time zone, configuration from the host.
set -eu
mkdir -p config
echo 'name: home' >config/configuration.yaml
docker run -d --name homeassistant --restart=unless-stopped -e TZ=Europe/Berlin \
    -v "$PWD/config":/config -v /run/dbus:/run/dbus:ro --network=host alpine sleep 1000 >/dev/null
docker exec homeassistant cat /config/configuration.yaml
docker exec homeassistant sh -c 'echo unit: C >>/config/configuration.yaml'
cat config/configuration.yaml
docker inspect -f '{{.HostConfig.NetworkMode}} {{.HostConfig.RestartPolicy.Name}}' homeassistant
docker exec homeassistant sh -c 'touch /run/dbus/x' 2>/dev/null || echo "read-only: $?"
docker restart -t 0 homeassistant
docker exec homeassistant sh -c "echo \$TZ"
docker stop -t 0 homeassistant
docker ps -a --filter name=homeassistant --format '{{.Names}}: {{.State}}'
docker rm homeassistant
