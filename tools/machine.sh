#!/bin/sh
# A whole machine to try knarr on: a Debian of its own with systemd, cgroup v2 alone, sshd and AppArmor, made of the
# distribution's packages and run by qemu. Without KVM it emulates: everything takes about ten times as long.
# Needs root, debootstrap, mkfs.ext4, qemu-system-x86_64 and ssh. docs/machine.md says what to do with it.
# Usage: tools/machine.sh VERB
#   build          make the image (once), with the commit that is checked out here in ~/knarr and what its tests need
#   start          boot it and wait until it can be reached
#   ssh [COMMAND]  a shell, or a command, as $MACHINE_USER (dev, who may use sudo; or root)
#   put            bring ~/knarr to the commit that is checked out here
#   stop           shut it down in order
#   cut            power loss: it stops now, what was not on its disk is gone; start it again
#   remove         forget the image
# Settings: MACHINE_SUITE=bookworm|trixie, MACHINE_DIR, MACHINE_PORT, MACHINE_CPUS, MACHINE_MEMORY (MiB), MACHINE_DISK,
# MACHINE_ACCEL (tcg,thread=multi or kvm), MACHINE_CACHE (qemu's word, writeback), MACHINE_APPEND (for the kernel's
# command line), MACHINE_OVERLAY (a directory that is copied over the root of a new image: certificates, a pip.conf),
# MACHINE_PREPARE=false (a bare image: knarr then installs what it needs in the machine itself).
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
suite=${MACHINE_SUITE:-bookworm}
machine=${MACHINE_DIR:-$here/.cache/machine-$suite}
port=${MACHINE_PORT:-2222}
user=${MACHINE_USER:-dev}
packages=systemd-sysv,systemd-resolved,systemd-timesyncd,libpam-systemd,dbus,udev,linux-image-cloud-amd64,initramfs-tools
packages=$packages,apparmor,openssh-server,ca-certificates,sudo,git,make

build() {
  [ ! -e "$machine/disk.qcow2" ] || { echo "$machine has an image already"; return; }
  root=$machine/root
  rm -rf --one-file-system "$root" "$machine/disk.raw" # of a build that was interrupted
  mkdir -p "$machine"
  [ -e "$machine/key" ] || ssh-keygen -q -t ed25519 -N "" -f "$machine/key"
  debootstrap --variant=minbase --include="$packages" "$suite" "$root"
  [ -z "${MACHINE_OVERLAY:-}" ] || { cp -rL "$MACHINE_OVERLAY/." "$root/"; chroot "$root" update-ca-certificates; }
  configure "$root"
  ! "${MACHINE_PREPARE:-true}" || prepare "$root"
  cp "$root"/boot/vmlinuz-* "$machine/vmlinuz"
  cp "$root"/boot/initrd.img-* "$machine/initrd"
  truncate -s "${MACHINE_DISK:-16G}" "$machine/disk.raw"
  mkfs.ext4 -q -L root -d "$root" "$machine/disk.raw"
  qemu-img convert -O qcow2 "$machine/disk.raw" "$machine/disk.qcow2.new"
  mv "$machine/disk.qcow2.new" "$machine/disk.qcow2" # only what is whole counts as an image
  rm -rf "$root" "$machine/disk.raw"
}

configure() { # ROOT: a network, a name, two users that the key opens
  echo "machine-$suite" >"$1/etc/hostname"
  printf '127.0.0.1 localhost\n127.0.1.1 machine-%s\n' "$suite" >"$1/etc/hosts"
  echo 'LABEL=root / ext4 errors=remount-ro 0 1' >"$1/etc/fstab"
  printf '[Match]\nName=en* eth*\n\n[Network]\nDHCP=yes\n' >"$1/etc/systemd/network/uplink.network"
  chroot "$1" systemctl -q enable systemd-networkd systemd-resolved
  ln -sf ../run/systemd/resolve/stub-resolv.conf "$1/etc/resolv.conf"
  chroot "$1" useradd -m -s /bin/bash dev
  echo 'dev ALL=(ALL) NOPASSWD: ALL' >"$1/etc/sudoers.d/dev"
  for home in "$1/root" "$1/home/dev"; do
    mkdir -p "$home/.ssh" && cp "$machine/key.pub" "$home/.ssh/authorized_keys"
  done
  chroot "$1" chown -R dev:dev /home/dev
}

prepare() { # ROOT: what would take an emulated machine an hour, done at this machine's speed
  bundle && cp "$machine/knarr.bundle" "$1/home/dev/" && link=$(readlink "$1/etc/resolv.conf")
  rm "$1/etc/resolv.conf" && cp /etc/resolv.conf "$1/etc/resolv.conf"
  printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d" && chmod +x "$1/usr/sbin/policy-rc.d"
  unshare --mount --pid --fork --mount-proc="$1/proc" chroot "$1" sh -eux -c '
    cd /home/dev && git clone -q knarr.bundle knarr && cd knarr && make packages-test .venv/.test
    chown -R dev:dev /home/dev && apt-get clean' </dev/null
  rm "$1/usr/sbin/policy-rc.d" && ln -sf "$link" "$1/etc/resolv.conf"
}

bundle() {
  git -C "$here" bundle create -q "$machine/knarr.bundle" HEAD
}

start() {
  ! is_running || { echo "it runs already"; return; }
  qemu-system-x86_64 -accel "${MACHINE_ACCEL:-tcg,thread=multi}" -cpu max -smp "${MACHINE_CPUS:-2}" \
    -m "${MACHINE_MEMORY:-4096}" -display none -no-reboot -serial "file:$machine/console.log" \
    -kernel "$machine/vmlinuz" -initrd "$machine/initrd" \
    -append "root=LABEL=root rw console=ttyS0 panic=-1 ${MACHINE_APPEND:-}" \
    -drive "file=$machine/disk.qcow2,if=virtio,cache=${MACHINE_CACHE:-writeback},discard=unmap" \
    -nic "user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:$port-:22" \
    -device virtio-rng-pci -pidfile "$machine/pid" -daemonize
  wait_for_ssh
}

wait_for_ssh() {
  deadline=$(($(date +%s) + 300))
  until run_in true 2>/dev/null; do
    is_running || { tail -n 20 "$machine/console.log"; echo "the machine has ended"; exit 1; }
    [ "$(date +%s)" -lt "$deadline" ] || { tail -n 20 "$machine/console.log"; echo "no answer in 300 s"; exit 1; }
    sleep 1
  done
}

is_running() {
  [ -s "$machine/pid" ] && [ "$(cat "/proc/$(cat "$machine/pid")/comm" 2>/dev/null)" = qemu-system-x86 ]
}

run_in() {
  ssh -q -i "$machine/key" -p "$port" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
    -o ConnectTimeout=10 -o ServerAliveInterval=15 "$user@127.0.0.1" "$@"
}

put() {
  bundle
  run_in 'cat >knarr.bundle' <"$machine/knarr.bundle"
  run_in '[ -d knarr ] || git clone -q knarr.bundle knarr
    cd knarr && git fetch -q ../knarr.bundle HEAD && git checkout -q --detach FETCH_HEAD'
}

gone() { # waits for the end of qemu, whose pid this is
  timeout 300 tail --pid="$1" -f /dev/null || { echo "qemu ($1) still runs after 300 s"; exit 1; }
  rm -f "$machine/pid"
}

case ${1:-} in
  build) build ;;
  start) start ;;
  ssh) shift && run_in "$@" ;;
  put) put ;;
  stop) ! is_running || { pid=$(cat "$machine/pid") && { user=root run_in poweroff || :; } && gone "$pid"; } ;;
  cut) ! is_running || { pid=$(cat "$machine/pid") && kill -9 "$pid" && gone "$pid"; } ;;
  remove) is_running && { echo "it runs: stop it first"; exit 1; } || rm -rf "$machine" ;;
  *) sed -n '2,17s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
