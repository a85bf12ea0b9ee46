#!/bin/sh
# Reads logs as fail2ban and logwatch do: recent lines, lines with times, and following for a while.
set -eu
docker run -d --name mta --log-opt max-size=1m --log-opt max-file=2 alpine sh -c '
    for i in 1 2 3; do echo "login failed: user$i from 198.51.100.$i" >&2; done
    echo "queue active"; sleep 1.5; echo "login failed: late from 198.51.100.9" >&2; sleep 1000' >/dev/null
until [ "$(docker logs mta 2>&1 | wc -l)" = 4 ]; do sleep 0.05; done
docker logs mta 2>&1 >/dev/null | grep -oE '[0-9]+(\.[0-9]+){3}' | sort -u
docker logs --tail 0 mta
docker logs -n 2 mta 2>&1 | wc -l
since=$(date +%s)
docker logs --since 10m mta 2>&1 | grep -c failed
timeout 10 docker logs -f --since $since mta 2>&1 >/dev/null | head -4 | tail -1 | cut -d: -f1
docker logs --timestamps mta 2>&1 | awk '{print $1}' | grep -cE '^[0-9-]{10}T[0-9:]{8}\.[0-9]{9}Z$'
docker logs --since 2099-01-01 mta 2>&1 | wc -l
docker logs --until 1s mta 2>&1 | grep -c failed
docker inspect -f '{{.HostConfig.LogConfig.Config}}' mta
docker logs --since yesterday mta 2>/dev/null || echo "not a time: $?"
docker rm -f mta
