#!/bin/sh
# Makes a test image by commit, tags it as CI systems do, and tests it.
set -eu
BUILD=42
docker run --name builder alpine sh -c 'mkdir -p /app && echo "echo app $VERSION" >/app/run.sh'
docker commit -m "build $BUILD" -a ci --change 'ENV VERSION=1.2' --change 'WORKDIR /app' \
    --change 'CMD ["sh", "run.sh"]' builder shop:$BUILD >/dev/null
docker rm builder
docker tag shop:$BUILD registry.example/shop:$BUILD
docker tag shop:$BUILD registry.example/shop:latest
docker run --rm registry.example/shop:latest
docker images --format '{{.Repository}}:{{.Tag}}' | grep shop | sort
docker inspect -f '{{.Config.WorkingDir}} {{json .Config.Cmd}} {{.Author}} {{.Comment}}' shop:$BUILD
docker rmi shop:$BUILD registry.example/shop:$BUILD registry.example/shop:latest | grep -c Untagged
