#!/bin/sh
# A report for a mail server: state, restarts, log counts and sizes of all containers.
set -eu
docker run -d --name smtp --label role=mail alpine sh -c 'for i in 1 2 3; do echo "sent to user$i"; echo "deferred $i" >&2; done; sleep 1000' >/dev/null
docker run -d --name imap --label role=mail --restart on-failure:2 alpine sh -c 'exit 1' >/dev/null
for i in $(seq 100); do [ "$(docker inspect -f '{{.RestartCount}} {{.State.Running}}' imap)" = "2 false" ] && break; sleep 0.1; done
for c in $(docker ps -a --filter label=role=mail --format '{{.Names}}' | sort); do
    docker inspect --format '{{.Name}} running={{.State.Running}} restarts={{.RestartCount}} code={{.State.ExitCode}} oom={{.State.OOMKilled}} err="{{.State.Error}}"' $c
done
docker logs smtp 2>/dev/null | grep -c sent
docker logs smtp 2>&1 >/dev/null | grep -c deferred
docker logs smtp 2>&1 | wc -l
docker logs imap | wc -l
docker logs nope 2>/dev/null || echo "no such: $?"
docker stats --no-stream --format '{{.Name}}' smtp
docker stats --no-stream --format 'table {{.Name}}\t{{.PIDs}}' smtp | awk '{print $1}'
docker top smtp -o pid,args | awk 'NR==1 {print $1, $2} /sleep/ {print $2, $3}'
docker rm -f smtp imap
