# Sourced by scripts/server and scripts/test: the virtual environment in .venv.
# shellcheck shell=bash

# The oldest interpreter that the dependencies still support.
least="3.11"

say() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
}

give_up() {
    say "$@"
    exit 1
}

# Prints the first interpreter that is new enough.
find_python() {
    local candidate
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
        if "$candidate" -c "import sys; sys.exit(sys.version_info < (${least/./, }))" 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    give_up "no Python $least or newer found; install one, or name it: PYTHON=/path/to/python $0"
}

# Makes .venv unless it is there and whole.
make_environment() {
    [ ! -x .venv/bin/python ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1 || return 0
    local python
    python=$(find_python)
    say "making .venv with $("$python" --version)"
    # A venv module without ensurepip (Debian's python3 alone) leaves half an environment.
    if "$python" -m venv --clear .venv >/dev/null 2>&1; then
        return
    fi
    rm -rf .venv
    if "$python" -m virtualenv --version >/dev/null 2>&1; then
        "$python" -m virtualenv --quiet .venv
    elif command -v virtualenv >/dev/null; then
        virtualenv --quiet --python "$python" .venv
    else
        give_up "$python cannot make a virtual environment: its venv or ensurepip module is missing.
  Debian, Ubuntu:  apt install python3-venv
  elsewhere:       $python -m pip install --user virtualenv
Then run $0 again."
    fi
}

# install_once NAME REQUIREMENTS: brings .venv up to date with the requirements
# file, unless nothing that decides about it has changed since the last time.
install_once() {
    local stamp=".venv/$1.installed" state
    # The path is part of it: an environment that was moved does not work.
    state=$(pwd -P && .venv/bin/python --version &&
        cat "$2" setup.cfg kernel/setup.cfg kernel/src/stonechat/__init__.py \
            plugins/*/setup.cfg auth_backends/*/setup.cfg)
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$state" ]; then
        return
    fi
    say "installing into .venv (about a minute the first time)"
    # The distributions are built with the setuptools of the environment: one
    # isolated build environment each would take three times as long. Debian's
    # own venv brings one that is too old.
    .venv/bin/python -m pip install --quiet --disable-pip-version-check 'setuptools>=77'
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --no-build-isolation -r "$2"
    printf '%s\n' "$state" >"$stamp"
}
