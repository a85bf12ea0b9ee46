#!/bin/sh
# Removes objects by xargs, as in many answers on the web.
for i in 1 2 3; do docker run --name test_$i alpine true; done
docker run -d --name other alpine sleep 1000 >/dev/null
docker ps -a | awk '/test_/ {print $NF}' | sort
docker ps -a --filter 'name=^/test_' --format '{{.Names}}' | sort
docker ps -a --filter 'name=^test_[12]$' --format '{{.Names}}' | sort
docker ps -a | awk 'NR>1 {print $1}' | wc -l
docker ps -aq -f name=test_1 | xargs docker rm | wc -l
docker ps -a --format '{{.ID}} {{.Status}}' | grep Exited | cut -d' ' -f1 | xargs docker rm | wc -l
docker ps -q -l | wc -l
docker ps -a -n 1 --format '{{.Names}}'
docker stop -t 0 $(docker ps -q)>/dev/null
docker rm $(docker ps -aq) | wc -l
docker rm $(docker ps -aq) 2>/dev/null || echo "nothing: $?"
docker rmi none 2>/dev/null || echo "no image: $?"
docker volume rm none 2>/dev/null || echo "no volume: $?"
docker network rm none-such 2>/dev/null || echo "no network: $?"
docker inspect none-such 2>/dev/null || echo "nothing to inspect: $?"
