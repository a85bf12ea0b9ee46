#!/bin/sh
# Tags an image by version, and writes its metadata as labels.
set -eu
VERSION=1.4.2
docker create --name tmp alpine sh -c 'echo $APP $VERSION' >/dev/null
docker commit --change "ENV APP=shop VERSION=$VERSION" --change "LABEL version=$VERSION" --change 'EXPOSE 80 443/tcp' \
    --change 'USER nobody' --change 'ENTRYPOINT ["sh","-c"]' --change 'CMD ["echo hi"]' tmp shop:$VERSION >/dev/null
docker rm tmp
for tag in 1.4 1 latest; do docker tag shop:$VERSION shop:$tag; done
docker images --format '{{.Tag}}' shop | sort
docker images --filter label=version=$VERSION -q | sort -u | wc -l
docker image inspect -f '{{.Config.User}} {{json .Config.Entrypoint}} {{json .Config.Cmd}} {{json .Config.ExposedPorts}}' shop
docker run --rm shop
docker run --rm --entrypoint env shop | grep -E '^(APP|VERSION)'
docker run --rm shop 'id -un'
docker history --format '{{.CreatedBy}}' shop | wc -l
docker rmi shop:1 shop:1.4 shop:latest
docker rmi shop:$VERSION | head -1
docker image inspect shop 2>/dev/null || echo "gone: $?"
