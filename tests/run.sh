#!/usr/bin/env bash
# Runs every test. Installs the Debian packages that the tests need where it may (root, and apt-get is there), and says what
# is missing where it may not: a test that needs it is then left out, by name. Closes with every test that was left out and
# the count, "N passed, M failed, K skipped"; ends with 1 if anything failed.
#
#   tests/run.sh              everything
#   tests/run.sh cli::        only the tests whose name holds these words
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

minutes_max=18

# What the tests call, and the Debian package that brings it.
needed=(
    cc:gcc strace:strace curl:curl python3:python3 chromium:chromium
    mkfs.ext4:e2fsprogs mkfs.xfs:xfsprogs mkfs.btrfs:btrfs-progs bindfs:bindfs
    mount.exfat-fuse:exfat-fuse mkfs.exfat:exfatprogs
    setfattr:attr setfacl:acl mount:mount setpriv:util-linux
    zsh:zsh fish:fish man:man-db apache2:apache2-bin
)

missing_packages() {
    local pair
    for pair in "${needed[@]}"; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null || echo "${pair##*:}"
    done
}

install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >/dev/null 2>&1
}

install_what_is_missing() {
    local missing package
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} -gt 0 ] || return
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "installing: ${missing[*]}"
        # The lists of packages may be old or not there at all; one package that cannot be had must not stop the others.
        if ! install "${missing[@]}"; then
            apt-get update -q >/dev/null 2>&1
            install "${missing[@]}" || for package in "${missing[@]}"; do install "$package"; done
        fi
        mapfile -t missing < <(missing_packages)
    fi
    [ ${#missing[@]} -eq 0 ] || echo "missing: ${missing[*]} (Debian packages; what needs them is left out)"
}

run() {
    timeout --kill-after=10s "${minutes_max}m" cargo test --no-fail-fast "$@" 2>&1
    local code=$?
    [ $code -ne 124 ] || echo "stopped after $minutes_max minutes"
    return $code
}

install_what_is_missing
command -v cargo >/dev/null || PATH="$HOME/.cargo/bin:$PATH"
if ! command -v cargo >/dev/null; then
    echo "missing: cargo (Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer, from rustup)"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi

output=$(mktemp)
trap 'rm -f "$output"' EXIT
run "$@" | tee "$output"
code=${PIPESTATUS[0]}

# The runner counts a test that says it is left out as passed, since it ended well. If the line names the test itself, it is
# taken from the passed ones; if it names a part of it (one file system of several), the test did pass with the others.
echo
awk -v code="$code" '
    function name_of(path) { sub(/^.*::/, "", path); return path }
    {
        at = index($0, "left out: ")
        if (at > 0) {
            line = substr($0, at)
            if (!(line in told)) { told[line]; lines[++count] = line }
        }
    }
    /^test .* \.\.\. / { tests[name_of($2)] }
    /^test result: / {
        for (i = 2; i <= NF; i++) {
            if ($i ~ /^passed/) passed += $(i - 1)
            if ($i ~ /^failed/) failed += $(i - 1)
            if ($i ~ /^ignored/) skipped += $(i - 1)
        }
    }
    END {
        for (i = 1; i <= count; i++) {
            print lines[i]
            split(lines[i], part, ": ")
            skipped++
            if (name_of(part[2]) in tests) passed--
        }
        # What did not build, hung or fell over has no result of its own.
        if (code != 0 && failed == 0) failed = 1
        printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
        exit (failed > 0)
    }
' "$output"
