#!/bin/sh
# Copies a directory between two containers by tar streams, and keeps owners and modes.
set -eu
docker run -d --name src alpine sleep 1000 >/dev/null
docker run -d --name dst alpine sleep 1000 >/dev/null
docker exec -i src sh <<'EOF'
mkdir -p /srv/www/sub
echo hello >/srv/www/index.html
echo deep >/srv/www/sub/file
chmod 600 /srv/www/sub/file
chown 1000:1000 /srv/www/index.html
ln -s index.html /srv/www/link
EOF
docker cp src:/srv/www - | tar --numeric-owner -tvf - | awk '{print $1, $2, $6}' | sort -k3
docker cp src:/srv/www - | docker cp -a - dst:/
docker exec dst sh -c 'cd /www && ls -lnR | awk "{print \$1, \$3, \$4, \$9}" | grep -v total'
docker exec src tar -C /srv -czf - www | docker exec -i dst tar -C /tmp -xzf -
docker exec dst cat /tmp/www/sub/file
docker exec src tar c /etc/passwd 2>/dev/null | tar t
docker cp src:/srv/www/. copy
ls copy
docker cp copy/index.html dst:/tmp/renamed.html
docker exec dst cat /tmp/renamed.html
docker cp src:/none . 2>/dev/null || echo "missing: $?"
docker cp copy/none dst:/ 2>/dev/null || echo "missing here: $?"
docker rm -f src dst
