#!/bin/bash
# A CI job that always removes what it made, also when a step fails.
run_id=ci-$$
cleanup() {
    docker ps -aq --filter "label=run=$run_id" | xargs -r docker rm -f >/dev/null
    docker network rm net-$run_id >/dev/null 2>&1 || true
    docker volume ls -q --filter "label=run=$run_id" | xargs -r docker volume rm >/dev/null
    echo "clean: $(docker ps -aq --filter label=run=$run_id | wc -l)"
}
job() (
    trap cleanup EXIT
    set -e
    docker network create net-$run_id >/dev/null
    docker network create net-$run_id 2>/dev/null || echo "network is there"
    docker volume create --label run=$run_id >/dev/null
    db=$(docker run -d --label run=$run_id --network net-$run_id --network-alias db -h database alpine sleep 1000)
    docker run --rm --label run=$run_id --network net-$run_id alpine sh -c \
        'for n in db database '"$(echo $db | cut -c1-12)"'; do ping -c1 -W5 $n >/dev/null && echo "found ${n%%[0-9]*}" | cut -c1-8; done' | grep -c found
    docker run --label run=$run_id alpine sh -c "exit $1"
    echo "step passed"
)
job 0
echo "status $?"
job 3
echo "status $?"
