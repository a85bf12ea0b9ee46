#!/bin/sh
# Uses a cache volume that outlives the jobs, by --mount, and temporary files that do not.
set -eu
docker volume create ci-cache >/dev/null
job() {
    docker run --rm --mount type=volume,source=ci-cache,target=/cache --mount type=tmpfs,destination=/scratch,tmpfs-size=1m \
        --mount "type=bind,src=$PWD,dst=/src,readonly" -e JOB=$1 alpine sh -c '
        if [ -e /cache/deps ]; then echo "job $JOB: hit"; else echo "job $JOB: miss"; echo deps >/cache/deps; fi
        ls /scratch | wc -l; echo x >/scratch/x; touch /src/no 2>/dev/null || echo "sources are read-only"'
}
job 1
job 2
docker run --rm --mount type=volume,source=ci-cache,target=/cache,readonly alpine sh -c 'rm /cache/deps 2>/dev/null || echo kept'
docker run --rm --mount type=bind,src="$PWD/none",dst=/x alpine true 2>/dev/null || echo "no source: $?"
docker run --rm --mount type=volume,dst=/x,speed=9 alpine true 2>/dev/null || echo "unknown key: $?"
docker volume inspect -f '{{.Name}} {{.Driver}} {{.Scope}} {{.Options}}' ci-cache
docker volume rm ci-cache
docker volume inspect ci-cache 2>/dev/null || echo "gone: $?"
