#!/bin/sh
# A job for cron: only one runs at a time, by its name; its output is mailed and its status kept.
run() {
    out=$(docker run --rm --name nightly --network none -e JOB="$1" alpine sh -c "$2" 2>&1)
    status=$?
    echo "$1: status $status, output: $out"
}
run ok 'echo done $JOB'
run bad 'echo broken >&2; exit 5'
docker create --name nightly alpine true >/dev/null
docker run --rm --name nightly alpine true 2>/dev/null
echo "name is taken: $?"
docker rm nightly
timeout 5 docker run --rm --network none alpine sh -c 'exit 124'
echo "$?"
docker run --rm alpine sh -c 'kill -TERM $$'
echo "signal: $?"
docker run -d --rm --name gone alpine true >/dev/null
for i in $(seq 100); do docker inspect gone >/dev/null 2>&1 || break; sleep 0.05; done
docker ps -a --filter name=gone -q | wc -l
