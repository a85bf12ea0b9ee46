#!/bin/sh
# Reads settings from a file and overrides some on the command line.
set -eu
cat >prod.env <<'END'
# the shop
SHOP_URL=https://shop.example/?a=b
EMPTY=
SPACED=two words

FROM_HOST
END
export FROM_HOST=inherited
docker run --rm --env-file prod.env -e EMPTY=no -e OTHER=x alpine env | grep -E '^(SHOP|EMPTY|SPACED|FROM|OTHER)' | sort
docker create --name shop --env-file prod.env --label-file /dev/stdin alpine true >/dev/null <<'END'
team=web
tier=front
END
docker inspect -f '{{range .Config.Env}}{{println .}}{{end}}' shop | grep SHOP_URL
docker inspect -f '{{.Config.Labels.team}} {{.Config.Labels.tier}}' shop
docker rm shop
docker run --rm --env-file none.env alpine true 2>/dev/null || echo "status $?"
