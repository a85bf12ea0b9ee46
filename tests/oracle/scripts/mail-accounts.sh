#!/bin/sh
# Manages the accounts of a mail server: by exec, or if it is down by a container with its volume.
set -eu
CONTAINER=mailserver
setup() {
    if [ -n "$(docker ps -q --filter "name=^/$CONTAINER\$")" ]; then
        docker exec -i $CONTAINER "$@"
    else
        docker run --rm -i -v mail-config:/config alpine "$@"
    fi
}
docker volume create mail-config >/dev/null
add='read -r password; echo "$1|$(echo "$password" | md5sum | cut -c1-8)" >>/config/accounts; echo "added $1"'
echo hunter2 | setup sh -c "$add" add ann@example.org
docker run -d --name $CONTAINER -h mail.example.org -v mail-config:/config --cap-add SYS_PTRACE alpine sleep 1000 >/dev/null
docker run -d --name $CONTAINER-2 alpine sleep 1000 >/dev/null
echo secret | setup sh -c "$add" add bob@example.org
setup cut -d'|' -f1 /config/accounts
setup sh -c 'hostname; hostname -f 2>/dev/null || true' | sort -u
setup sed -i '/^ann@/d' /config/accounts
setup wc -l /config/accounts
setup sh -c 'exit 3' </dev/null || echo "status $?"
docker rm -f $CONTAINER $CONTAINER-2
setup cat /config/accounts
docker volume rm mail-config
