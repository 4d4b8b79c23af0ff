#!/bin/sh
# enter-root.sh ROOT FOLDER UID GID COMMAND...
#
# Becomes COMMAND as an unprivileged user inside ROOT, with FOLDER at /mnt. Run it under
# `unshare --mount`, so that its mounts end with it. If the parent dies, COMMAND receives SIGINT,
# which is a fast shutdown for PostgreSQL.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
root=$1 folder=$2 uid=$3 gid=$4
shift 4
[ "$root" = / ] || mount --rbind /dev "$root/dev"
mount --bind "$folder" "$root/mnt"
cd /
exec chroot "$root" setpriv --reuid="$uid" --regid="$gid" --clear-groups --pdeathsig=INT -- "$@"
