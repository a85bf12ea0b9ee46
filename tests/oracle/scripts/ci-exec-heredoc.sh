#!/bin/sh
# Runs steps in one container by here-documents and pipes, with their statuses.
docker run -d --name builder -w /work -e CI=true alpine sleep 1000 >/dev/null
docker exec -i builder sh -eu <<'EOF'
echo "in $(pwd) CI=$CI"
for i in 1 2 3; do echo "line $i"; done >list
wc -l <list
EOF
echo "status $?"
docker exec -i builder sh -e <<'EOF'
false
echo never
EOF
echo "status $?"
printf 'b\na\nc\n' | docker exec -i builder sort | tee sorted | head -1
wc -l <sorted
docker exec builder cat list | while read -r a b; do echo "$b:$a"; done
docker exec -e CI=no -u 1000:1000 -w /tmp builder sh -c 'echo $CI $(id -u):$(id -g) $(pwd)'
docker exec builder sh -c 'kill -9 $$'
echo "killed: $?"
docker exec builder nosuch >/dev/null 2>&1 || echo "no program"
docker exec nosuch true 2>/dev/null
echo "no container: $?"
docker exec -d builder sh -c 'echo bg >/work/bg'
for i in $(seq 50); do docker exec builder test -e /work/bg && break; sleep 0.1; done
docker exec builder cat bg
echo data | docker exec builder cat
docker exec builder sh -c 'echo a; echo b >&2' 2>err; cat err
docker stop -t 0 builder
docker exec builder true 2>/dev/null
echo "stopped: $?"
docker rm builder
