#!/bin/sh
# Starts services one after the other, each when the one before it is healthy or answers.
set -eu
docker network create home >/dev/null 2>&1 || true
docker run -d --name db --network home --health-cmd 'test -e /tmp/up' --health-interval 100ms --health-start-period 30s \
    alpine sh -c 'sleep 0.5; touch /tmp/up; sleep 1000' >/dev/null
until [ "$(docker inspect -f '{{.State.Health.Status}}' db)" = healthy ]; do sleep 0.1; done
docker ps --filter name=db --format '{{.Status}}' | grep -o '(.*)'
docker run -d --name www --network home -w /srv web:1 sh -c 'echo hi >index.html; httpd -f -p 80' >/dev/null
docker run --rm --network home alpine sh -c 'for i in $(seq 50); do wget -qO- http://www/ && exit 0; sleep 0.1; done; exit 1'
timeout 10 sh -c 'until docker logs www >/dev/null 2>&1; do sleep 0.1; done' && echo "log is there"
docker network inspect home -f '{{range .Containers}}{{.Name}} {{end}}' | tr ' ' '\n' | sort | xargs
docker network inspect -f '{{len .Containers}}' home
docker network rm home 2>/dev/null || echo "in use: $?"
docker network disconnect -f home www
docker network connect --alias site home www
docker run --rm --network home alpine wget -qO- http://site/
docker inspect -f '{{range $n, $c := .NetworkSettings.Networks}}{{$n}} {{range $c.Aliases}}{{.}} {{end}}{{end}}' www | sed "s/$(docker inspect -f '{{slice .ID 0 12}}' www)/ID/"
docker stop -t 0 $(docker ps -q) >/dev/null
docker rm -v db www
docker network rm home
