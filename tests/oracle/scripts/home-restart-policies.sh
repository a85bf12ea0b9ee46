#!/bin/sh
# Tests which containers restart, how often, and what a stop does.
set -eu
docker run -d --name flaky --restart on-failure:2 alpine sh -c 'echo try; exit 3' >/dev/null
docker run -d --name once --restart on-failure alpine true >/dev/null
docker wait once
until [ "$(docker inspect -f '{{.RestartCount}} {{.State.Status}}' flaky)" = "2 exited" ]; do sleep 0.1; done
docker inspect -f '{{.State.ExitCode}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}' flaky
docker logs flaky | wc -l
docker inspect -f '{{.RestartCount}} {{.State.Status}}' once
docker run -d --name always --restart always alpine sh -c 'test -e /second && sleep 1000; touch /second' >/dev/null
until [ "$(docker inspect -f '{{.RestartCount}} {{.State.Running}}' always)" = "1 true" ]; do sleep 0.1; done
docker stop -t 0 always
sleep 0.5
docker inspect -f '{{.State.Status}}' always
docker update --restart unless-stopped always >/dev/null
docker start always
docker inspect -f '{{.HostConfig.RestartPolicy.Name}} {{.State.Status}}' always
docker run --rm --restart always alpine true 2>/dev/null || echo "both: $?"
docker run --restart sometimes alpine true 2>/dev/null || echo "no such policy: $?"
docker rm -f flaky once always
