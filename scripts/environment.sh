# Sourced by the scripts beside it, from the project's folder: makes .venv whole.

# The newest-enough Python: $PYTHON if set, else the first of the usual names that is 3.11 or newer.
# Arguments, if any, are a command by which it is to be run: find_python setpriv --reuid=nobody
find_python() {
    for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if "$@" "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "Python 3.11 or newer is needed; on Debian 12: apt-get install python3" >&2
    return 1
}

# Debian ships venv and ensurepip apart from Python.
have_venv_module() {
    if "$1" -c 'import ensurepip, venv' 2>/dev/null; then
        return
    fi
    package=$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "$1 lacks venv; install it, then try again: apt-get install $package" >&2
        return 1
    fi
    echo "Installing $package" >&2
    apt-get -qq update >&2 && DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install --yes --no-install-recommends "$package" >&2
}

# The packages as they are imported, for tools that read sources and import nothing, as mypy.
link_packages() {
    mkdir -p .venv/import-root/genvm_manager
    for package in base protocol manager supervisor workers; do
        ln -sfn "../../../$package" ".venv/import-root/genvm_manager/$package" || return 1
    done
}

# make_environment LOCK-FILE: a .venv with what the lock file names and the project itself.
# Does nothing when that is so already.
make_environment() {
    lock=$1
    stamp=.venv/installed-$lock
    wanted=$(pwd; sha256sum "$lock" setup.cfg pyproject.toml)
    if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && .venv/bin/python -c '' 2>/dev/null; then
        return
    fi
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        python=$(find_python) || return 1
        have_venv_module "$python" || return 1
        "$python" -m venv --clear .venv || return 1
    fi
    echo "Installing what $lock names into .venv; this takes a minute, once" >&2
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --require-hashes --requirement "$lock" >&2 || return 1
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --no-deps --editable . >&2 || return 1
    link_packages || return 1
    echo "$wanted" >"$stamp"
}
