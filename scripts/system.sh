# Sourced by install and uninstall: where the service of this machine lies, and how they speak.

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

user=genvm-manager
home=/opt/genvm-manager
settings=/etc/genvm-manager
state=/var/lib/genvm-manager
cache=/var/cache/genvm-manager
runtime=/run/genvm-manager
command=/usr/local/bin/genvm-manager
units=/etc/systemd/system
socket_unit=genvm-manager.socket
service_units="genvm-supervisor.service genvm-manager.service"
sysusers=/etc/sysusers.d/genvm-manager.conf
tmpfiles=/etc/tmpfiles.d/genvm-manager.conf

dry_run=false

fail() {
    echo "scripts/${0##*/}: $1" >&2
    exit 1
}

misuse() {
    echo "scripts/${0##*/}: $1" >&2
    usage >&2
    exit 2
}

# will SENTENCE: says what is done next; false when it is not to be done.
will() {
    if $dry_run; then
        echo "would $1"
        return 1
    fi
    echo "$1"
}

need_root_and_systemd() {
    [ "$(id -u)" -eq 0 ] || fail "this needs root: sudo scripts/${0##*/}"
    [ -d /run/systemd/system ] ||
        fail "systemd does not run this machine; without it start the service by scripts/run"
}
