#!/bin/sh
# Sends a message if a container has died, from the events since the last run.
set -eu
sleep 1
since=$(date +%s)
docker run -d --name good alpine true >/dev/null
docker run -d --name bad alpine sh -c 'exit 2' >/dev/null
docker wait good bad
docker run -d --name long alpine sleep 1000 >/dev/null
docker kill -s KILL long
docker wait long
sleep 1
until=$(date +%s)
docker events --since $since --until $until --filter event=die --format '{{.Actor.Attributes.name}} died with {{.Actor.Attributes.exitCode}}' | sort
docker events --since $since --until $until --filter container=long --filter type=container --format '{{.Action}}' | sort -u
docker events --since $since --until $until --filter event=kill --format '{{.Actor.Attributes.signal}} {{.Type}} {{.Status}}'
docker events --since $since --until $until --filter event=start --filter image=alpine --format '{{.From}}' | sort | uniq -c | awk '{print $1, $2}'
docker events --since $since --until $until --filter 'label=none'
docker events --since $until --until $since 2>/dev/null || echo "the wrong way round: $?"
docker events --since $since --until $until --filter event=die | wc -l
docker rm good bad long
