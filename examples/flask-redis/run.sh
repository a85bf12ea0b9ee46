#!/bin/sh
# Flask and Redis, two containers that find each other by name. Usage: run.sh FLASK-IMAGE REDIS-IMAGE
#
# Redis stores its data in the volume "visits", so the count survives `mydocker rm`. Only Flask's
# port is published: no other machine reaches Redis.
set -eu
flask=${1:?usage: run.sh FLASK-IMAGE REDIS-IMAGE}
redis=${2:?usage: run.sh FLASK-IMAGE REDIS-IMAGE}
here=$(cd "$(dirname "$0")" && pwd)

mydocker network inspect app >/dev/null 2>&1 || mydocker network create app
mydocker rm -f flask redis >/dev/null 2>&1 || true
mydocker run -d --name redis --network app -v visits:/data --restart unless-stopped \
    "$redis" redis-server --bind 0.0.0.0 --protected-mode no --dir /data --appendonly yes
mydocker run -d --name flask --network app -p 5000:5000 -v "$here:/app:ro" \
    --restart unless-stopped "$flask" python3 /app/app.py
echo "try: curl http://127.0.0.1:5000"
