#!/bin/sh
# Writes the logs of all containers of a project to files.
set -eu
for name in app worker; do
    docker run -d --name $name --label project=shop alpine sh -c "for i in 1 2 3; do echo $name out \$i; echo $name err \$i >&2; done" >/dev/null
done
docker wait app worker
for name in $(docker ps -a --filter label=project=shop --format '{{.Names}}' | sort); do
    docker logs $name >$name.out 2>$name.err
    echo "$name: $(wc -l <$name.out) $(wc -l <$name.err)"
    docker logs --tail 3 $name 2>&1 | wc -l
    docker logs -t $name 2>&1 | head -1 | cut -dT -f1 | grep -c '^20'
    docker logs --since 1h $name 2>&1 | wc -l
    docker logs --until 2020-01-01T00:00:00 $name 2>&1 | wc -l
done
docker logs none 2>/dev/null || echo "status $?"
docker rm app worker
