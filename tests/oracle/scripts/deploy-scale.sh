#!/bin/sh
# Starts or removes workers until the requested number runs.
set -eu
scale() {
    wanted=$1
    running=$(docker ps -q --filter label=app=worker | wc -l)
    i=$running
    while [ $i -lt $wanted ]; do
        i=$((i + 1))
        docker run -d --name worker-$i --label app=worker --label index=$i --stop-timeout 1 alpine sleep 1000 >/dev/null
    done
    docker ps --filter label=app=worker --format '{{.Label "index"}} {{.Names}}' | sort -rn | head -n $((running > wanted ? running - wanted : 0)) |
        awk '{print $2}' | xargs -r docker stop -t 0 | sort
    docker container prune -f --filter label=app=worker >/dev/null
    docker ps --filter label=app=worker --format '{{.Names}} {{.State}}' | sort
}
scale 2
echo --
scale 4
echo --
scale 1
echo --
scale 0
docker ps -aq | wc -l
