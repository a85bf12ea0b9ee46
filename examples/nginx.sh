#!/bin/sh
# A web server on its own network. Usage: nginx.sh IMAGE
#
# The site is a directory of the host, mounted read-only. The container gets at most 64 MB of memory
# and half a CPU, and starts again if it fails. http://HOST:8888 answers from every machine.
set -eu
image=${1:?usage: nginx.sh IMAGE}
site=${SITE:-/srv/www}

mkdir -p "$site"
[ -e "$site/index.html" ] || echo '<h1>It works</h1>' >"$site/index.html"

mydocker network inspect web >/dev/null 2>&1 || mydocker network create web
mydocker rm -f web >/dev/null 2>&1 || true
mydocker run -d --name web --network web -p 8888:80 \
    -v "$site:/var/www/html:ro" -m 64m --cpus 0.5 --restart on-failure \
    "$image" nginx -g 'daemon off;'
mydocker ps
