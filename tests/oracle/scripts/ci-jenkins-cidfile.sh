#!/bin/sh
# As Jenkins' plugin works: a container sleeps, its id is in a file, and each step is an exec.
set -eu
docker run -t -d -u 0:0 -w /workspace -v "$PWD":/workspace:rw,z --cidfile cid -e BUILD_NUMBER=7 alpine cat >/dev/null
id=$(cat cid)
[ ${#id} = 64 ] && echo "a full id"
docker run --cidfile cid alpine true 2>/dev/null || echo "the file is there: $?"
docker top "$id" -eo pid,comm | awk 'NR > 1 {print $2}'
docker exec -e STAGE=test "$id" sh -c 'echo "$BUILD_NUMBER $STAGE" >result.txt'
cat result.txt
docker exec "$id" sh -xe -c 'false' 2>/dev/null || echo "step failed: $?"
docker exec --workdir /tmp --user 1000:1000 "$id" sh -c 'pwd; id -u'
docker inspect -f '{{.State.Running}} {{.Config.Tty}} {{.Config.WorkingDir}} {{.Config.User}}' "$id"
docker stop --time=1 "$id" | grep -c "^$id$"
docker rm -f "$id" | wc -c
docker rm -f "$id" >/dev/null 2>&1 || true
