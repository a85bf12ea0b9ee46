#!/bin/sh
# Builds as the owner of the sources, in their directory.
set -eu
mkdir src && cd src
echo 'hello' >input.txt
docker run --rm -v "$PWD":/src -w /src -u 1000:1000 alpine sh -c 'id -u; id -g; pwd; cat input.txt'
chown 1000:1000 .
docker run --rm -v "$PWD":/src -w /src -u 1000:1000 alpine sh -c 'tr a-z A-Z <input.txt >output.txt'
cat output.txt
stat -c %u:%g output.txt
docker run --rm -v "$PWD":/src:ro -w /src alpine touch x 2>/dev/null || echo "read-only: $?"
docker run --rm -v "$PWD/input.txt":/in:ro alpine cat /in
echo piped | docker run --rm -i alpine cat
printf 'a\nb\n' | docker run --rm -i alpine wc -l
