#!/bin/sh
# Follows events until the first deaths, and lists what happened in a period.
set -eu
since=$(date +%s)
docker events --since "$since" --filter label=ev --filter event=die --format '{{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}}' >deaths & follower=$!
docker run --name one --label ev alpine sh -c 'exit 4' || true
docker run --rm --name two --label ev alpine true
for i in $(seq 100); do [ "$(wc -l <deaths)" = 2 ] && break; sleep 0.1; done
kill $follower
cat deaths
sleep 1.2
until=$(date +%s)
docker events --since "$since" --until "$until" --filter container=one --format '{{.Action}}' | xargs
docker events --since "$since" --until "$until" --filter label=ev --filter event=create --filter event=destroy --format '{{.Type}} {{.Action}}' | sort | uniq -c | awk '{print $1, $3}'
docker events --since "$since" --until "$until" --filter image=alpine --filter label=ev --format '{{json .Actor.Attributes.image}}' | sort -u
docker events --since 0m --until 0s | wc -l
docker rm one
