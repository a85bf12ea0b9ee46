#!/bin/sh
# Builds from a Dockerfile with arguments and labels, runs the tests in the image, and tags it.
set -eu
export DOCKER_BUILDKIT=0
mkdir app && cd app
printf '#!/bin/sh\necho "hello from $VERSION"\n' >hello && chmod +x hello
echo secret >.env
echo .env >.dockerignore
cat >Dockerfile <<'END'
FROM alpine AS build
ARG VERSION=dev
WORKDIR /src
COPY . .
RUN ls -A | sort >/files && echo "$VERSION" >/version

FROM busybox
ARG VERSION=dev
ENV VERSION=$VERSION
LABEL org.opencontainers.image.version=$VERSION
COPY --from=build /src/hello /files /version /app/
USER nobody
EXPOSE 8080
HEALTHCHECK --interval=5s CMD true
ENTRYPOINT ["/app/hello"]
END
image=$(docker build -q --build-arg VERSION=1.7 -t shop:ci .)
[ "$image" = "$(docker inspect -f '{{.Id}}' shop:ci)" ] && echo "the id is printed"
docker run --rm shop:ci
docker run --rm --entrypoint cat shop:ci /app/files /app/version
docker inspect -f '{{.Config.User}} {{json .Config.Entrypoint}} {{.Config.Labels}} {{json .Config.ExposedPorts}}' shop:ci
docker build -q --target build -t shop:build . >/dev/null
docker run --rm shop:build cat /version
echo 'FROM alpine
CMD echo from stdin' | docker build -q -t shop:stdin - >/dev/null
docker run --rm shop:stdin
docker build -q -f none . 2>/dev/null || echo "no Dockerfile: $?"
printf 'FROM alpine\nRUN exit 9\n' | docker build -q - >/dev/null 2>&1 || echo "a step failed"
docker container prune -f >/dev/null
docker rmi shop:ci shop:build shop:stdin | grep -c Untagged
docker image prune -f >/dev/null
docker builder prune -af >/dev/null
