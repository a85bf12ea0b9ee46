#!/bin/sh
# Integration tests with two services. A trap removes everything in any case.
set -u
id=job-$$
cleanup() {
    status=$?
    docker logs "$id-api" 2>&1 | sed 's/^/api: /'
    docker rm -fv $(docker ps -aq --filter label=ci.job=$id) >/dev/null
    docker network rm $id >/dev/null
    echo "status $status"
}
trap cleanup EXIT
docker network create --label ci.job=$id $id >/dev/null
docker run -d --name $id-db --network $id --network-alias db -l ci.job=$id -v /var/lib/db alpine \
    sh -c 'echo 42 >/tmp/index.html; exec httpd -f -p 5432 -h /tmp' >/dev/null
docker run -d --name $id-api --network $id --network-alias api -l ci.job=$id alpine \
    sh -c 'until wget -qO /tmp/index.html http://db:5432/; do sleep 0.1; done 2>/dev/null; echo ready; exec httpd -f -p 80 -h /tmp' >/dev/null
until docker logs $id-api 2>&1 | grep -q ready; do sleep 0.1; done
docker run --rm --network $id -l ci.job=$id alpine sh -c 'test "$(wget -qO- http://api/)" = 42 && echo "answer is 42"'
docker run --rm --network $id -l ci.job=$id alpine sh -c 'wget -qO- http://api/none' 2>/dev/null || echo "missing page: $?"
docker ps --filter label=ci.job=$id -q | wc -l
docker network ls --filter label=ci.job=$id -q | wc -l
false
