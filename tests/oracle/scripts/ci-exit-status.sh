#!/bin/sh
# A pipeline that continues after a failed step and reports the status of each step.
step() {
    name=$1
    shift
    docker run --rm "$@"
    echo "$name: $?"
}
step pass alpine true
step fail alpine false
step seven alpine sh -c 'exit 7'
step killed alpine sh -c 'kill -9 $$'
step missing alpine /no/such/program 2>/dev/null
step directory alpine /etc 2>/dev/null
step flag --no-such-flag alpine true 2>/dev/null
step image 127.0.0.1:9/none:1 true 2>/dev/null
docker exec nobody true 2>/dev/null
echo "exec: $?"
docker frobnicate 2>/dev/null
echo "verb: $?"
