//! Checks of `compose` on hosts with networks. The main project has two services with a network, a
//! volume, a health check and a published port. The integration tests cover the details of the
//! commands; these checks show that a small host has all that `compose` needs.

use crate::checks::check;
use crate::host::Check;

pub fn compose() -> Vec<Check> {
    vec![
        check(
            "compose up",
            "mkdir -p /run/shop && cd /run/shop
             cat >page.env <<'END'
PAGE=\"of the shop\"
END
             cat >compose.yaml <<'END'
x-common: &common
  image: bb
  restart: unless-stopped
  stop_grace_period: 1s
services:
  web:
    <<: *common
    command: ['sh', '-c', 'wget -qO /tmp/page http://db:8000/page && echo $$PAGE >>/tmp/page && httpd -f -h /tmp']
    env_file: page.env
    ports: ['8081:80']
    networks: [back]
    mem_limit: 32m
    depends_on: {db: {condition: service_healthy}}
  db:
    <<: *common
    command: sh -c 'cp /etc/page /data/page; echo stored; httpd -f -p 8000 -h /data'
    configs: [{source: page, target: /etc/page}]
    volumes: ['data:/data']
    networks: [back]
    healthcheck: {test: [CMD, test, -e, /data/page], interval: 1s, timeout: 60s, retries: 60}
networks: {back: {}}
volumes: {data: {}}
configs: {page: {content: 'from the database, '}}
END
             mydocker compose up -d 2>&1 | grep -o 'shop-[a-z]*-1  Started'
             eventually wget -qO- http://127.0.0.1:8081/page
             mydocker compose ps --format '{{.Service}} {{.State}} {{.Health}}'
             mydocker compose logs
             mydocker compose exec web sh -c 'hostname >/dev/null; echo inside; exit 3'; echo $?
             mydocker network ls --format '{{.Name}}' | grep shop
             mydocker volume ls -q",
            "shop-db-1  Started
             shop-web-1  Started
             from the database, of the shop
             db running healthy
             web running*
             db-1   | stored
             inside
             3
             shop_back
             shop_data",
        ),
        check(
            "compose, other commands",
            "cd /run/shop
             mydocker compose config --services
             mydocker compose ls -q
             mydocker compose port web 80
             mydocker compose images | grep -c ' bb '
             mydocker compose run --rm --no-deps web sh -c 'echo one-off $PAGE'
             echo copied >/run/copied; mydocker compose cp /run/copied web:/tmp/copied 2>/dev/null
             mydocker compose exec -T web cat /tmp/copied
             mydocker compose top db | grep -c httpd
             mydocker compose pause db 2>/dev/null
             mydocker compose ps --format '{{.Service}} {{.State}}' db
             mydocker compose unpause db 2>/dev/null
             mydocker compose stats --no-stream | wc -l
             mydocker compose up -d --scale db=2 --no-recreate 2>&1 | grep -c 'db-2  Started'
             mydocker compose stop -t 0 2>/dev/null
             mydocker compose ps -q | wc -l
             mydocker compose start 2>&1 | grep -c Started
             mydocker compose restart -t 0 web 2>/dev/null
             mydocker compose kill db 2>/dev/null
             mydocker compose rm -f db 2>&1 | grep -c Removed
             mydocker compose events --json & events=$!
             sleep 1; kill $events; wait $events 2>/dev/null; echo $?",
            "db
             web
             shop
             0.0.0.0:8081
             2
             one-off of the shop
             copied
             1
             db paused
             3
             1
             0
             3
             2
             143",
        ),
        check(
            "compose build",
            "mkdir -p /run/made && cd /run/made
             printf 'FROM bb\\nARG word\\nRUN echo $word >/etc/word\\nCMD cat /etc/word\\n' >Dockerfile
             printf 'services: {made: {build: {context: ., args: {word: built}}}}' >compose.yaml
             mydocker compose up --build --no-log-prefix 2>/dev/null
             mydocker compose down --rmi local 2>/dev/null
             mydocker images -q made-made | wc -l; ls /sys/class/net | grep -c veth
             rm -r /run/made",
            "built
             0
             0",
        ),
        check(
            "compose, the model",
            "mkdir -p /run/kinds/sub && cd /run/kinds
             echo 'NAME=included' >sub/.env; echo word >word
             echo 'services: {base: {image: bb, init: true, environment: {FROM: base}, stop_grace_period: 1s}}' >base.yaml
             echo 'services: {inc: {image: bb, command: \"echo $NAME\"}}' >sub/inc.yaml
             echo 'services: {many: {labels: !reset {}}}' >compose.override.yaml
             cat >compose.yaml <<'END'
include: [sub/inc.yaml]
services:
  many:
    extends: {file: base.yaml, service: base}
    command: sleep 1000
    deploy: {replicas: 2, resources: {limits: {memory: 16m}}}
    labels: {gone: soon}
    secrets: [word, {source: given, target: /given, mode: 0400}]
    post_start: [{command: \"sh -c 'cat /run/secrets/word /given >/tmp/started'\"}]
    pre_stop: [{command: touch /seen/stopped}]
    volumes: ['./seen:/seen', /kept]
  job: {image: bb, command: grep -c many /etc/hosts, depends_on: [many]}
  after: {image: bb, command: \"sh -c 'echo after $$FROM'\", environment: [FROM], depends_on: {job: {condition: service_completed_successfully}}}
  beside: {image: bb, init: true, command: sleep 1000, network_mode: 'service:many', pid: 'service:many', stop_grace_period: 1s}
  debug: {image: bb, command: echo debug, profiles: [debug]}
  bare: {image: bb, command: ls /sys/class/net, network_mode: none}
secrets: {word: {file: ./word}, given: {environment: GIVEN}}
END
             export GIVEN=secret FROM=caller
             mydocker compose up -d 2>/dev/null; echo $?
             mydocker compose logs --no-log-prefix inc job after bare
             mydocker compose exec -T many cat /tmp/started; echo
             mydocker compose exec -T many sh -c 'echo $FROM; echo kept >/kept/file'
             mydocker compose exec -T beside ps | grep -c sleep
             mydocker compose config | grep -c gone
             mydocker compose run --rm debug 2>/dev/null
             mydocker compose up -d --force-recreate --no-deps many 2>&1 | grep -c Recreated
             mydocker compose exec -T many cat /kept/file
             mydocker compose --profile debug down -v 2>&1 | grep -c 'kinds.* Removed'
             ls seen; cd /; rm -r /run/kinds",
            "0
             after caller
             lo
             included
             2
             word
             secret
             base
             2
             0
             debug
             2
             kept
             8
             stopped",
        ),
        check(
            "compose in the foreground",
            "mkdir -p /run/few && cd /run/few
             cat >compose.yaml <<'END'
services:
  job: {image: '127.0.0.1:5000/bb', command: \"sh -c 'echo job; exit 3'\", depends_on: [long]}
  long: {image: '127.0.0.1:5000/bb', init: true, command: \"sh -c 'echo on; exec sleep 1000'\"}
  made:
    image: 127.0.0.1:5000/made
    build: {context: ., dockerfile_inline: 'FROM 127.0.0.1:5000/bb'}
    profiles: [built]
END
             mydocker compose pull -q && echo pulled
             mydocker compose create 2>&1 | grep -c Created
             mydocker compose ps -a --format '{{.Service}} {{.State}}'
             mydocker compose up --exit-code-from job --no-attach long 2>/dev/null; echo $?
             mydocker compose wait job; echo $?
             mydocker compose up long >log 2>/dev/null & up=$!
             eventually grep on log
             kill $up; wait $up; echo $?
             mydocker compose --profile built build -q
             mydocker compose --profile built push -q 2>&1 | grep -c 'service made: '
             mydocker compose version --short | wc -l
             mydocker compose --profile built down --rmi all 2>&1 | grep -c 'Image .* Removed'
             cd /; rm -r /run/few",
            "pulled
             3
             job created
             long created
             job-1   | job
             3
             3
             3
             long-1  | on
             143
             1
             1
             2",
        ),
        check(
            "boot brings a project back",
            "cd /run/shop
             mydocker compose up -d 2>/dev/null
             mydocker halt -t 0
             for bridge in $(ls -d /sys/class/net/*/bridge | cut -d/ -f5); do ip link del $bridge; done
             mydocker boot 2>/dev/null
             eventually wget -qO- http://127.0.0.1:8081/page
             mydocker compose down -v -t 0 2>/dev/null
             mydocker ps -aq | wc -l; mydocker volume ls -q | wc -l
             ls /sys/class/net | grep -c veth
             cd /; rm -r /run/shop",
            "shop-db-1
             shop-web-1
             from the database, of the shop
             0
             0
             0",
        ),
    ]
}

/// A check before a shutdown. The compose file is in /run, so the shutdown removes it.
pub fn before_reboot() -> Vec<Check> {
    vec![check(
        "a project before a reboot",
        "mkdir -p /run/shop && cd /run/shop
         cat >compose.yaml <<'END'
services:
  web:
    image: bb
    command: sh -c 'wget -qO /tmp/page http://db:8000/page; httpd -f -h /tmp'
    restart: always
    ports: ['8081:80']
    depends_on: {db: {condition: service_healthy}}
  db:
    image: bb
    command: sh -c 'echo turn >>/data/page; httpd -f -p 8000 -h /data'
    restart: always
    volumes: ['data:/data']
    healthcheck: {test: [CMD, test, -e, /data/page], interval: 1s, timeout: 60s, retries: 60}
volumes: {data: {}}
END
         mydocker compose up -d 2>/dev/null
         eventually wget -qO- http://127.0.0.1:8081/page",
        "turn",
    )]
}

/// The checks after the reboot.
pub fn reboot() -> Vec<Check> {
    vec![check(
        "a project after a reboot",
        "eventually wget -qO- http://127.0.0.1:8081/page
         mydocker compose -p shop ps --format '{{.Service}} {{.State}}'
         mydocker compose -p shop down -v -t 0 2>/dev/null
         mydocker ps -a | grep -c shop; mydocker volume ls -q | grep -c shop
         mydocker network ls | grep -c shop; test $? = 1",
        "turn
         turn
         db running
         web running
         0
         0
         0",
    )]
}
