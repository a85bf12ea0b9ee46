#!/bin/sh
# Saves images compressed, checks the archive, and loads it after a clean-up.
set -eu
docker tag alpine site:v1
docker tag alpine site:v2
docker save site:v1 site:v2 | gzip -1 >images.tar.gz
gzip -t images.tar.gz && echo sound
gunzip -c images.tar.gz | tar -xOf - manifest.json | grep -o '"RepoTags":\[[^]]*\]'
docker rmi site:v1 site:v2 | grep -c Untagged
docker load <images.tar.gz
docker images site --format '{{.Tag}}' | sort
docker save -o one.tar site:v1 && tar -tf one.tar | grep -c manifest.json
docker load -q -i one.tar
docker save nothere:1 >/dev/null 2>&1 || echo "save: $?"
docker load -i nothere.tar 2>/dev/null || echo "load: $?"
docker image rm site:v1 site:v2 >/dev/null
docker save alpine | docker load | sed 's/sha256:.*/ID/'
