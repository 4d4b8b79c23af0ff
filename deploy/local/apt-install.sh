#!/bin/sh
# apt-install.sh PACKAGE... installs the packages that are missing.
set -eu
missing=
for package in "$@"; do
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "Please install:$missing" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
for pause in 5 15 0; do
    echo "installing$missing"
    # shellcheck disable=SC2086 # several packages are several words
    if apt-get -qq -o DPkg::Lock::Timeout=300 update &&
        apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $missing >/dev/null
    then
        exit 0
    fi
    sleep "$pause"
done
echo "apt-get could not install:$missing" >&2
exit 1
