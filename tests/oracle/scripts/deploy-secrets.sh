#!/bin/sh
# Gives a service secrets as files. They are neither in its settings nor in its image.
set -eu
umask 077
mkdir secrets
echo hunter2 >secrets/db-password
docker run -d --name app -v "$PWD/secrets":/run/secrets:ro --tmpfs /run/lock:mode=700,size=65536 -e DB_PASSWORD_FILE=/run/secrets/db-password \
    --security-opt no-new-privileges --cap-drop ALL alpine sh -c 'test "$(cat $DB_PASSWORD_FILE)" = hunter2 && echo connected; sleep 1000' >/dev/null
until docker logs app | grep connected; do sleep 0.05; done
docker inspect app | grep -c hunter2 || echo "not in its settings"
docker exec app sh -c 'echo x >/run/secrets/x' 2>/dev/null || echo "read-only"
docker exec app stat -c '%a' /run/lock /run/secrets/db-password
docker exec -u 1000 app cat /run/secrets/db-password 2>/dev/null || echo "for root alone: $?"
docker exec app grep -E '^(CapEff|NoNewPrivs)' /proc/1/status
docker commit app app:snapshot >/dev/null
docker run --rm app:snapshot sh -c 'cat /run/secrets/* 2>/dev/null || echo "not in its snapshot"'
docker history --no-trunc app:snapshot | grep -c hunter2 || echo "not in its history"
docker inspect -f '{{.HostConfig.SecurityOpt}} {{.HostConfig.Tmpfs}}' app
docker rm -f app
docker rmi -f app:snapshot | head -1
