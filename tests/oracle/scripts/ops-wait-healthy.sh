#!/bin/sh
# Waits until a database is healthy, breaks it, and waits until it is unhealthy.
set -eu
docker run -d --name db --health-cmd 'test -e /ready' --health-interval 200ms --health-retries 1 --health-timeout 5s \
    alpine sleep 1000 >/dev/null
docker inspect -f '{{.State.Health.Status}}' db | grep -cE 'starting|unhealthy'
docker exec db touch /ready
for i in $(seq 100); do
    status=$(docker inspect -f '{{.State.Health.Status}}' db)
    [ "$status" = healthy ] && break
    sleep 0.1
done
echo "$status"
docker ps --filter health=healthy --format '{{.Names}}'
docker exec db rm /ready
for i in $(seq 100); do
    [ "$(docker inspect -f '{{.State.Health.Status}}' db)" = unhealthy ] && break
    sleep 0.1
done
docker ps --filter health=unhealthy --format '{{.Names}}' | xargs -r docker restart -t 0
docker inspect -f '{{.State.Running}} {{.Config.Healthcheck.Test}}' db
docker rm -f db
