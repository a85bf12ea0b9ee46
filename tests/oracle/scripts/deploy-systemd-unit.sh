#!/bin/sh
# The command lines of a unit and their statuses: ExecStartPre=-, ExecStart, ExecStop.
: >journal
: >output
: >attached
docker stop web >/dev/null 2>&1
docker rm web >/dev/null 2>&1
docker run --rm --name web alpine sh -c 'trap "echo stopping; exit 0" TERM; echo started; while :; do sleep 0.05; done' >journal 2>&1 &
main=$!
until grep -q started journal; do sleep 0.05; done
docker ps --filter name=web --format '{{.Names}} {{.State}}'
kill -TERM $main
wait $main
echo "main process: $?"
cat journal
docker ps -aq | wc -l
docker create --name web alpine sh -c 'echo started; while :; do sleep 0.1; echo still here; done' >/dev/null
docker start -a web >output &
main=$!
until grep -q started output; do sleep 0.05; done
docker stop -t 0 web
wait $main
echo "start -a: $?"
docker start web
docker attach --no-stdin web >attached &
main=$!
until grep -q here attached; do sleep 0.05; done
docker kill web
wait $main
echo "attach: $?"
docker wait web
docker rm web
