#!/bin/sh
# Copies files into and out of containers as tar streams.
set -eu
docker run -d --name box alpine sleep 1000 >/dev/null
mkdir -p in/sub && echo one >in/a && echo two >in/sub/b && chmod 640 in/a
tar cf - -C in . | docker cp - box:/tmp
docker exec box sh -c 'cd /tmp; find . -type f | sort; stat -c %a a'
docker cp box:/tmp/sub - | tar tf - | sort
docker cp in box:/new
docker exec box ls /new
docker cp in box:/new
docker exec box ls /new
docker cp in/. box:/flat
docker exec box ls /flat
docker cp box:/flat/a copied && cat copied
docker cp box:/flat . && ls flat
docker exec box tar cf - -C /flat . | tar xf - -O ./a
docker exec -i box sh -c 'cat >/from-stdin' <in/a
docker exec box cat /from-stdin
docker cp box:/none . 2>/dev/null || echo "none: $?"
docker cp in/a box:/no/such/ 2>/dev/null || echo "no directory: $?"
docker diff box | grep -E ' /(new|flat)$' | sort
docker rm -f box
