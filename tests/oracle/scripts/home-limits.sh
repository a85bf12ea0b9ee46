#!/bin/sh
# Prints limits as the container sees them.
set -eu
docker run --rm -m 64m --memory-swap 64m alpine sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max'
docker run --rm --pids-limit 20 alpine sh -c 'cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max'
docker run --rm --ulimit nofile=100:200 alpine sh -c 'ulimit -Sn; ulimit -Hn'
docker run --rm --shm-size 8m alpine df -k /dev/shm | awk 'NR==2 {print $2}'
docker run --rm --tmpfs /scratch:size=1m,mode=700 alpine sh -c 'stat -c %a /scratch; df -k /scratch | tail -1 | awk "{print \$2}"'
docker run --rm --read-only --tmpfs /run alpine sh -c 'touch /run/x && echo ok; touch /x 2>/dev/null || echo read-only'
docker run --rm --cap-drop ALL alpine grep CapEff /proc/self/status
docker run --rm --cap-add NET_ADMIN alpine grep CapEff /proc/self/status
docker run --rm --security-opt no-new-privileges alpine grep NoNewPrivs /proc/self/status
docker run --rm --hostname nas alpine hostname
docker run --rm --add-host db:192.0.2.7 alpine grep -w 192.0.2.7 /etc/hosts
docker run --rm --dns 192.0.2.1 --dns-search lan alpine cat /etc/resolv.conf
docker run --rm --sysctl net.core.somaxconn=99 alpine cat /proc/sys/net/core/somaxconn
docker run --rm --init alpine sh -c '[ "$(cat /proc/1/comm)" = sh ] || echo init'
docker run --rm -e TZ=UTC -e A alpine env | grep -E '^(TZ|A)='
docker run --rm --oom-score-adj 500 alpine cat /proc/self/oom_score_adj
