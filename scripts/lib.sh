# shellcheck shell=bash
# What the scripts share. Source it first: it sets strict mode, `root` and CARGO_TARGET_DIR, and moves to the root.

set -euo pipefail

# Where the caller stands, for relative paths in arguments.
# shellcheck disable=SC2034
caller_dir=$PWD
script=$(realpath "$0")
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# A relative target directory means the caller's directory, not ours.
case ${CARGO_TARGET_DIR:=$root/target} in
/*) ;;
*) CARGO_TARGET_DIR=$PWD/$CARGO_TARGET_DIR ;;
esac
export CARGO_TARGET_DIR
cd "$root"

# Everything that Debian has to give for building, and for running a token that is files.
# shellcheck disable=SC2034  # used by the scripts that source this
build_packages=(build-essential pkg-config libpcsclite-dev)
# shellcheck disable=SC2034
token_packages=(softhsm2 opensc)
# The other modules that the driver is tested on: a TPM in software, p11-kit's remoting, openCryptoki, NSS.
# shellcheck disable=SC2034
module_packages=(swtpm libtpm2-pkcs11-1 tpm2-abrmd libtss2-tcti-tabrmd0 dbus p11-kit p11-kit-modules opencryptoki
    libnss3 libnss3-tools)
# Virtual YubiKeys, the tools of others that they are tested with, and what age's plugin is built from.
# shellcheck disable=SC2034
card_packages=(pcscd vsmartcard-vpcd ykcs11 yubico-piv-tool yubikey-manager age openssl libpcsclite-dev)

say() { printf '%s\n' "$*"; }

die() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    shift
    if [ $# -gt 0 ]; then printf '  %s\n' "$@" >&2; fi
    exit 1
}

# The comment at the head of the calling script is its help.
show_help() { sed -n '2,/^[^#]/{/^#/!q;s/^# \{0,1\}//;p}' "$script"; }

# need_packages NAME...: root gets what is missing; anybody else is told the one line that mends it.
need_packages() {
    local package missing=()
    command -v dpkg-query >/dev/null ||
        die "this is not a Debian system, so packages cannot be checked here" \
            "install what Debian calls: $*" "then run this on a system with dpkg, or the steps of this script by hand"
    for package in "$@"; do
        # Expanded by dpkg-query, not by the shell.
        # shellcheck disable=SC2016
        dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    if [ ${#missing[@]} -eq 0 ]; then return; fi
    if [ "$(id -u)" -ne 0 ]; then
        die "these Debian packages are missing; install them, then run this again:" \
            "sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
    fi
    say "Installing ${missing[*]}"
    local log=$CARGO_TARGET_DIR/apt.log attempt
    mkdir -p "$CARGO_TARGET_DIR"
    for attempt in 1 2 3; do
        if apt_install "${missing[@]}" >"$log" 2>&1; then return; fi
        say "  attempt $attempt failed"
        sleep "$attempt"
    done
    tail -n 20 "$log" >&2
    die "apt-get could not install ${missing[*]}" "its output is in $log"
}

apt_install() {
    local apt=(apt-get -q -o DPkg::Lock::Timeout=120)
    "${apt[@]}" update && DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends "$@"
}

need_cargo() {
    if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
        PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    fi
    command -v cargo >/dev/null ||
        die "no Rust toolchain found" "install one with rustup (https://rustup.rs), then run this again"
}

# python_env NAME REQUIREMENTS...: a virtual environment under the target directory, made anew when a file changes.
# Prints the path of its interpreter.
python_env() {
    local dir=$CARGO_TARGET_DIR/python/$1 stamp
    shift
    stamp=$(cat "$@" | sha256sum)
    if [ "$(cat "$dir/stamp" 2>/dev/null)" != "$stamp" ]; then
        rm -rf "$dir"
        python3 -m venv "$dir" >&2
        "$dir/bin/pip" install -q --disable-pip-version-check --retries 5 "${@/#/--requirement=}" >&2
        printf '%s\n' "$stamp" >"$dir/stamp"
    fi
    printf '%s\n' "$dir/bin/python"
}
