#!/bin/sh
# Uses docker exec in pipelines, as compose's `exec -T`.
set -eu
docker run -d --name db -w /srv -e DB=shop alpine sleep 1000 >/dev/null
printf 'create\ninsert\n' | docker exec -i db sh -c 'cat >dump.sql; wc -l <dump.sql; pwd'
docker exec db cat dump.sql | sed 's/^/> /'
docker exec -e DB=other -w / db sh -c 'echo $DB; pwd'
docker exec -u nobody db id -un
docker exec db sh -c 'exit 7' || echo "status $?"
docker exec -d db sh -c 'echo later >/tmp/later'
for i in $(seq 100); do docker exec db cat /tmp/later 2>/dev/null && break; sleep 0.05; done
docker exec db sh -c 'echo out; echo err >&2' 2>/dev/null
docker exec db sh -c 'echo out; echo err >&2' 2>&1 >/dev/null
docker exec -t db tty | tr -d '\r' | sed 's/[0-9]*$/N/'
docker exec db tty || echo "no terminal: $?"
for word in 'two words' '$HOME' "it's"; do docker exec db echo "$word"; done
yes | docker exec -i db head -1
docker exec db sh -c 'yes | head -100000' | wc -l
docker stop -t 0 db
docker exec db true 2>/dev/null || echo "stopped: $?"
docker rm db
