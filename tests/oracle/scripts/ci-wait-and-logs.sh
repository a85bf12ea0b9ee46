#!/bin/sh
# Starts jobs in the background, waits for all of them, and prints the logs of those that failed.
set -eu
for n in 0 1 2; do
    docker run -d --name job$n alpine sh -c "echo out $n; echo err $n >&2; exit $n" >/dev/null
done
docker wait job0 job1 job2
docker ps -a --filter name=job --filter exited=0 --format '{{.Names}}'
docker ps -aq --filter name=job | while read -r id; do
    docker inspect -f '{{.Name}} {{.State.ExitCode}}' "$id"
done | sort | while read -r name code; do
    [ "$code" = 0 ] || { echo "FAILED ${name#/} ($code)"; docker logs "${name#/}" 2>&1 | sort; }
done
docker logs --tail 20 -t job1 2>/dev/null | awk '{print NF, $2, $3}'
docker logs --since 10m job2 2>/dev/null
docker logs --until 10m job2 2>/dev/null
docker wait job0 && docker logs job0 2>/dev/null
docker start -a job2 2>/dev/null || echo "start -a: $?"
docker ps -aq | xargs docker rm -f | wc -l
