#!/bin/sh
# Prints numbers for a dashboard, and an alarm if a limit is near.
set -eu
docker run -d --name app -m 64m --cpus 0.5 --pids-limit 50 alpine sh -c 'sleep 1000 & sleep 1000' >/dev/null
docker stats --no-stream --format '{{.Name}} {{.MemUsage}}' app | sed 's/[0-9.]*[KM]*i*B/N/'
docker stats --no-stream --format '{{.MemPerc}} {{.CPUPerc}}' app | grep -cE '^[0-9.]+% [0-9.]+%$'
docker stats --no-stream --format '{{.PIDs}}' app
docker stats --no-stream | awk 'NR == 1 {print $1, $2, $3, $4}'
docker top app -o pid,args | awk 'NR > 1 {print $2, $3}' | sort
docker top app | awk 'NR == 1 {print $1, $2, $NF}'
docker update --memory 128m --memory-swap 256m --cpus 1 app
docker exec app cat /sys/fs/cgroup/memory/memory.limit_in_bytes
docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}' app
docker exec app cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us
docker update --memory 1k app 2>/dev/null || echo "too little: $?"
docker stats --no-stream none >/dev/null 2>&1 || echo "no such container: $?"
docker stop -t 0 app
docker stats --no-stream --format '{{.Name}} {{.CPUPerc}}' app
docker top app >/dev/null 2>&1 || echo "not running: $?"
docker rm app
