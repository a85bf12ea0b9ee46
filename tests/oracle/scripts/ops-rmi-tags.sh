#!/bin/sh
# Removes images by name, by id, with children, and in use.
id() { docker images -q --no-trunc "$1" | head -1; }
same() { sed -E 's/sha256:[0-9a-f]{64}/DIGEST/; s/[0-9a-f]{12}/SHORT/g'; }
docker create --name cc alpine true >/dev/null
docker commit cc child:1 >/dev/null; docker rm cc >/dev/null
docker tag child:1 child:2
docker rmi "$(id child:1)" 2>/dev/null; echo "two tags by id: $?"
docker rmi child:2 | same
docker create --name cc child:1 true >/dev/null
docker rmi child:1 2>&1 | same | grep -c conflict; docker rmi child:1 2>/dev/null; echo "in use: $?"
docker rmi "$(id child:1 | cut -c8-19)" 2>/dev/null; echo "in use by id: $?"
docker rmi -f child:1 | grep Untagged; echo "forced: $?"
docker ps -a --format '{{.Names}} {{.Image}}' | same
docker start -a cc; echo "starts: $?"
docker rm cc
docker image prune -f >/dev/null
docker rmi nope 2>/dev/null; echo "none: $?"
docker rmi -f nope 2>/dev/null; echo "none forced: $?"
docker tag alpine x:1; docker rmi x:1 nope x:2 2>/dev/null | same; echo "$?"
docker rmi -f x:1 >/dev/null 2>&1; echo "gone forced: $?"
docker images --format '{{.Repository}}' | sort | xargs
