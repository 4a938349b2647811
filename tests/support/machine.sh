# The inside of tests/support/machine.py: sh machine.sh hold DISK | boot DISK CGROUP.PROCS…
#
# DISK is a folder where a tmpfs is mounted: what the machine changes of this system's files lies
# there, and stays from one boot to the next.
set -eu
action=$1
disk=$2
shift 2

hold() {
    mount -t tmpfs -o mode=755 machine "$disk"
    mkdir "$disk/upper" "$disk/work" "$disk/root"
    echo ready
    # Until the process at the other end has ended.
    exec cat
}

# Before the namespaces: the machine's root of each hierarchy is where we are then.
enter() {
    for procs in "$@"; do
        echo $$ >"$procs"
    done
    exec unshare --fork --kill-child --pid --mount --uts --ipc --cgroup --net \
        sh "$0" init "$disk"
}

init() {
    root=$disk/root
    mount -t overlay -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" machine "$root"
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    # As container managers have it: knobs of the kernel are not the machine's.
    for path in sys sysrq-trigger irq bus; do
        [ -e "$root/proc/$path" ] || continue
        mount --bind "$root/proc/$path" "$root/proc/$path"
        mount -o remount,bind,ro "$root/proc/$path"
    done
    mount -t tmpfs -o mode=755 dev "$root/dev"
    for device in null zero full random urandom tty; do
        touch "$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device"
    done
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,mode=620,ptmxmode=666,gid=5 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
    mount -t tmpfs -o mode=755 run "$root/run"
    mount -t tmpfs -o mode=1777 tmp "$root/tmp"
    pivot_root "$root" "$root/mnt"
    cd /
    umount -l /mnt
    exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        /lib/systemd/systemd --system --unit=test.target
}

case $action in
hold) hold ;;
boot) enter "$@" ;;
init) init ;;
esac
