#!/bin/sh
# Shell functions that run tools in containers, as in many Makefiles.
set -eu
tool() {
    docker run --rm -i -v "$PWD":/work -w /work -u "$(id -u):$(id -g)" --network none -e HOME=/tmp "$@"
}
printf 'b\na\nc\n' >words
tool alpine sort words
tool --entrypoint wc alpine -l <words
tool alpine sh -c 'sort >sorted' <words
cat sorted
tool -e LANG=C -e "MESSAGE=two words" alpine sh -c 'echo "$MESSAGE in $LANG"'
tool alpine sh -s one two <<'END'
echo "$# arguments: $*"
END
tool alpine awk '{print NR ": " $0}' words
tool alpine sh -c 'ping -c1 -w1 192.0.2.1 >/dev/null 2>&1 || echo offline'
tool --read-only --tmpfs /tmp alpine sh -c 'touch /tmp/ok && echo scratch; touch /root/no 2>/dev/null || echo no'
tar cf - words | tool alpine tar xf - -O
tool alpine sh -c 'exit 42' || echo "status $?"
for i in 1 2 3; do tool alpine echo $i & done >out
wait
sort out
