#!/bin/sh
# Runs a container without a container engine, in a mount namespace of its own: the machine's /usr as the image, the pod's volumes where the manifest
# mounts them, everything else read-only, and the user, groups and privileges of its securityContext.
#   container.sh ROOT USER GROUP NAME=VALUE... COMMAND...
# ROOT.mounts has "rw|ro SOURCE TARGET" a line.
set -eu
root=$1 user=$2 group=$3
shift 3
mount --make-rprivate /
mount --bind "$root" "$root"
for folder in /usr/*; do
    [ "$folder" = /usr/local ] || { mkdir -p "$root$folder" && mount --rbind "$folder" "$root$folder"; }
done
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -o remount,bind,ro "$root"
while read -r how source target; do
    mount --bind "$source" "$root$target"
    [ "$how" = rw ] || mount -o remount,bind,ro "$root$target"
done <"$root.mounts"
# A user namespace of one user has no other to become.
if [ "$(wc -l </proc/self/uid_map)" = 1 ] && ! grep -q '4294967295$' /proc/self/uid_map; then
    exec chroot "$root" /usr/bin/env -i "$@"
fi
exec chroot "$root" /usr/bin/setpriv --reuid="$user" --regid="$group" --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all /usr/bin/env -i "$@"
