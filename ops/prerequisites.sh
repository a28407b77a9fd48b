# Sourced by ops/run and ops/test: what a machine needs before either can start.
# Needs cargo and a C compiler to be there and says so; installs PostgreSQL and Redis, and fetches
# promtool for tests, when it can.

# A step of this file failed: say what to do, in one line, and stop.
prerequisite_missing() {
    printf 'pillivery: %s\n' "$*" >&2
    exit 1
}

# cargo and a C compiler are the two things nobody installs for you.
need_toolchain() {
    if ! command -v cargo > /dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
        PATH="$HOME/.cargo/bin:$PATH"
    fi
    command -v cargo > /dev/null \
        || prerequisite_missing "cargo is missing: install Rust 1.95 or newer (rustup.rs), then run this again"
    command -v cc > /dev/null || command -v gcc > /dev/null || command -v clang > /dev/null \
        || prerequisite_missing "a C compiler is missing: on Debian or Ubuntu run 'apt-get install build-essential'"
}

# The folder with initdb and postgres of the newest PostgreSQL installed, or nothing.
postgres_bin() {
    local newest
    newest=$(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | sort -t/ -k5 -n | tail -n 1)
    if [ -n "$newest" ] && [ -x "$newest/initdb" ]; then
        printf '%s\n' "$newest"
    elif command -v initdb > /dev/null; then
        dirname "$(command -v initdb)"
    fi
}

# PostgreSQL 15+ and Redis 7+: installed through apt where that is possible, asked for elsewhere.
need_services() {
    local missing=()
    [ -n "$(postgres_bin)" ] || missing+=(postgresql)
    command -v redis-server > /dev/null || missing+=(redis-server)
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get > /dev/null \
        || prerequisite_missing "please install ${missing[*]} (PostgreSQL 15+, Redis 7+), then run this again"
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo > /dev/null \
            || prerequisite_missing "run 'apt-get install ${missing[*]}' as root, then run this again"
        as_root=(sudo)
    fi
    printf 'pillivery: installing %s\n' "${missing[*]}" >&2
    # Our own instances are private; the distribution's default cluster is neither needed nor used.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq > /dev/null \
        || prerequisite_missing "apt-get update failed"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null \
        || prerequisite_missing "apt-get install ${missing[*]} failed"
}

# promtool, with which tests check the metrics. Taken out of the distribution's package without
# installing it, because the package would start a Prometheus of its own.
need_promtool() {
    command -v promtool > /dev/null && return 0
    local tools=${XDG_CACHE_HOME:-$HOME/.cache}/pillivery/tools
    PATH="$tools:$PATH"
    export PATH
    [ -x "$tools/promtool" ] && return 0
    command -v apt-get > /dev/null && command -v dpkg-deb > /dev/null \
        || prerequisite_missing "please install promtool (it comes with Prometheus), then run this again"
    printf 'pillivery: fetching promtool\n' >&2
    local folder
    folder=$(mktemp -d)
    # Lists of packages may be missing or old; without root they are taken as they are.
    [ "$(id -u)" -ne 0 ] || apt-get update -qq > /dev/null || true
    (cd "$folder" && apt-get download -qq prometheus > /dev/null 2>&1 && dpkg-deb -x prometheus_*.deb .) \
        || prerequisite_missing "promtool could not be fetched: install it (it comes with Prometheus)"
    mkdir -p "$tools"
    mv "$folder/usr/bin/promtool" "$tools/promtool"
    rm -rf "$folder"
}
