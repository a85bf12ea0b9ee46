#!/bin/sh
# Changes a file of a container by docker cp and sed, also while it is stopped.
set -eu
docker create --name conf -v settings:/etc/app alpine sh -c 'cat /etc/app/conf 2>/dev/null || echo none' >/dev/null
docker start -a conf
printf 'port=80\nhost=a\n' >conf
docker cp conf conf:/etc/app/conf
docker start -a conf
docker cp conf:/etc/app/conf - | tar -xO | sed 's/80/8080/' >new
docker cp new conf:/etc/app/conf
docker start -ai conf </dev/null
docker run --rm --volumes-from conf alpine stat -c '%a %u:%g' /etc/app/conf
docker run --rm -v settings:/v alpine sh -c 'ls /v'
mkdir -p tree/a/b; echo deep >tree/a/b/file; ln -s file tree/a/b/link
docker cp tree conf:/tmp/
docker cp -L conf:/tmp/tree/a/b/link out; cat out
docker cp conf:/tmp/tree/a/b/link .; test -L link && readlink link
docker cp conf:/etc/hostname - 2>/dev/null | tar t
tar -cf - tree | docker cp - conf:/opt 2>/dev/null || echo "no /opt: $?"
docker cp conf:/tmp/tree/ . && ls tree
docker cp conf conf:/tmp/x conf 2>/dev/null || echo "three operands: $?"
docker cp - conf 2>/dev/null || echo "no path: $?"
docker cp conf:/a conf:/b 2>/dev/null || echo "both: $?"
docker rm conf
docker volume rm settings
