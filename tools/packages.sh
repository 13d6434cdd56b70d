#!/bin/sh
# Installs the system packages that are missing, through the distribution's package manager; says so if it cannot.
# Usage: tools/packages.sh run|test
set -eu
need() { # PROGRAM PACKAGE: remember the package if the program is not there
  command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
missing=
PATH=$PATH:/usr/sbin:/sbin
command -v crun >/dev/null 2>&1 || command -v runc >/dev/null 2>&1 || missing="$missing crun"
need conmon conmon
need nft nftables
need busybox busybox-static
need curl curl
"${PYTHON:-python3}" -c 'import ensurepip, venv' >/dev/null 2>&1 || missing="$missing python3-venv"
command -v kubectl >/dev/null 2>&1 || missing="$missing kubernetes-client"
if [ "${1:-run}" = test ]; then
  need ip iproute2
  need skopeo skopeo
  need podman podman
  need buildah buildah
  need strace strace
  need pgrep procps
  need script bsdutils
  need runc runc
  need containerd containerd
  [ -e /usr/lib/cni/bridge ] || missing="$missing containernetworking-plugins"
fi
[ -n "$missing" ] || exit 0
as_root=
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null 2>&1 || { echo "missing:$missing (install them as root: apt-get install$missing)" >&2; exit 1; }
  as_root=sudo
fi
command -v apt-get >/dev/null 2>&1 || { echo "missing:$missing; this system has no apt-get: install them its own way" >&2; exit 1; }
echo "installing:$missing"
$as_root apt-get update -qq
for package in $missing; do
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null || case $package in
    kubernetes-client) echo "this distribution has no kubectl package: install one (kubernetes.io/docs/tasks/tools) for the kubectl steps" >&2 ;;
    *) echo "could not install $package" >&2; exit 1 ;;
  esac
done
