#!/bin/sh
# Writes volumes to an archive. Usage: backup.sh FILE.tar.gz VOLUME…
#
# Each running container that uses one of the volumes is paused while its files are read, so the
# archive has the files of one moment. The archive gets its name when it is complete.
#
# To restore a volume:
#   mydocker volume create NAME
#   tar -xzf FILE.tar.gz --strip-components=1 \
#       -C "$(mydocker volume inspect --format '{{.Mountpoint}}' NAME)" NAME
set -eu
archive=${1:?usage: backup.sh FILE.tar.gz VOLUME…}
shift
[ $# -gt 0 ] || { echo "backup.sh: name at least one volume" >&2; exit 2; }

volume_directory() {
    mydocker volume inspect --format '{{.Mountpoint}}' "$1"
}

paused=
resume() {
    for container in $paused; do mydocker unpause "$container" >/dev/null; done
    paused=
}
staging=$(mktemp -d)
trap 'resume; rm -rf "$staging" "$archive.partial"' EXIT

for volume; do
    ln -s "$(volume_directory "$volume")" "$staging/$volume"
    for container in $(mydocker ps -q --filter status=running); do
        case " $paused " in *" $container "*) continue ;; esac
        if mydocker inspect --format '{{json .Mounts}}' "$container" | grep -q "\"Name\":\"$volume\""; then
            mydocker pause "$container" >/dev/null
            paused="$paused $container"
        fi
    done
done
# The archive has a directory for each volume, named as the volume. The /. makes tar follow the link
# to the volume's directory, but no other link.
tar -C "$staging" -cf - $(for volume; do printf '%s/. ' "$volume"; done) | gzip >"$archive.partial"
resume
sync "$archive.partial" 2>/dev/null || sync
mv "$archive.partial" "$archive"
