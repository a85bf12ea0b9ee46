#!/bin/sh
# Writes a compressed dump of a "database" in a container, and keeps the last two dumps.
set -eu
docker run -d --name db -e POSTGRES_USER=shop -e POSTGRES_DB=orders alpine sleep 1000 >/dev/null
for day in 1 2 3; do
    docker exec -e DAY=$day db sh -c 'echo "dump of $POSTGRES_DB by $POSTGRES_USER on day $DAY"' |
        gzip >dump-$day.sql.gz
done
ls dump-*.gz | head -n -2 | xargs -r rm
for dump in dump-*.gz; do
    echo "$dump: $(zcat $dump)"
done
zcat dump-3.sql.gz | docker exec -i db sh -c 'cat >/tmp/restored; wc -c </tmp/restored'
docker exec db cat /tmp/restored
docker rm -f db
