#!/bin/sh
# Removes tags by pattern and age, and reports the tags that are left.
set -eu
docker tag alpine app:keep
for n in 1 2 3; do
    docker create --name tmp alpine true >/dev/null
    docker commit --change "LABEL build=$n" tmp app:build-$n >/dev/null
    docker rm tmp >/dev/null
    sleep 1.1
done
docker images app --format '{{.Tag}}' --filter since=app:build-1 | sort
docker images app --format '{{.Tag}}' --filter before=app:build-3 --filter label=build | sort
docker images --filter reference='app:build-*' --format '{{.Repository}}:{{.Tag}}' | sort
docker images app:build-2 --format '{{.CreatedSince}}' | grep -cE 'second|minute'
docker images --format '{{.Repository}}:{{.Tag}}' | grep '^app:build-' | sort -t- -k2n | head -n -1 | xargs docker rmi | grep Untagged
docker images app --format '{{.Tag}}' | sort
docker rmi app:build-3 app:keep | grep Untagged
docker rmi app:build-3 2>/dev/null || echo "already gone: $?"
docker rmi -f app:build-3 >/dev/null 2>&1; echo "by force: $?"
