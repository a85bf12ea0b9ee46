#!/bin/sh
# Loops over listings with awk, cut and read, as clean-up scripts do.
set -eu
for n in a b c; do docker run -d --name w-$n --label n=$n alpine sleep 1000 >/dev/null; done
docker stop -t 0 w-b >/dev/null
docker ps -a --format '{{.ID}} {{.Names}} {{.Status}}' | while read -r id name status; do
    case $status in
        Exited*) echo "$name is down"; docker rm "$id" >/dev/null ;;
        Up*) echo "$name is up" ;;
    esac
done
docker ps | tail -n +2 | awk '{print $NF}' | sort
docker ps | awk 'NR==1 {print $1, $2, $3}'
docker ps -a | grep -v CONTAINER | awk '{print $2}' | sort | uniq -c | awk '{print $1, $2}'
docker ps --filter name=w- --format '{{.Names}}\t{{.Label "n"}}' | sort | cut -f2 | tr '\n' ' '; echo
docker images | awk '$1 == "alpine" {print $1 ":" $2}'
docker images | tail -n +2 | wc -l
docker ps -q | xargs -n1 docker port | wc -l
docker ps -q -f status=running | xargs docker stop -t 0 | wc -l
docker rm $(docker ps -aqf status=exited) | wc -l
docker rm $(docker ps -aq) 2>/dev/null || echo "nothing to remove: $?"
