#!/bin/sh
# A Nagios check of the queue's length: OK 0, WARNING 1, CRITICAL 2, UNKNOWN 3.
docker run -d --name mta alpine sh -c 'mkdir -p /spool && touch /spool/1 /spool/2 && sleep 1000' >/dev/null
check() {
    container=$1 warn=$2 crit=$3
    running=$(docker inspect --format='{{.State.Running}}' "$container" 2>/dev/null)
    [ "$running" = true ] || { echo "UNKNOWN - $container is not running"; return 3; }
    until docker exec "$container" test -e /spool/2; do sleep 0.1; done
    count=$(docker exec "$container" sh -c 'ls /spool | wc -l')
    [ "$count" -ge "$crit" ] && { echo "CRITICAL - $count"; return 2; }
    [ "$count" -ge "$warn" ] && { echo "WARNING - $count"; return 1; }
    echo "OK - $count"
}
for limits in "5 9" "2 9" "1 2"; do
    check mta $limits
    echo "status $?"
done
check nobody 1 2
echo "status $?"
docker rm -f mta
