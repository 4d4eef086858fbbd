# shellcheck shell=bash disable=SC2034,SC2016
# What the scripts share that make something to install. Each sources it in the folder of the project; it does nothing
# by itself.
#
# VOUCH_PROFILE is the profile of Cargo that they build: release, unless a trial of the scripts themselves says otherwise.

log=
script=contrib/$(basename "$0")
profile=${VOUCH_PROFILE:-release}
target=$(readlink -m "${CARGO_TARGET_DIR:-target}")
host=$(rustc -vV | sed -n 's/^host: //p')
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
architecture=${host%%-*}

failed() {
    # What the program of a trial has said.
    if [ -s "${log:-}" ]; then cat "$log" >&2; fi
    printf '%s: %s\n' "$script" "$1" >&2
    exit 1
}

# The comment at the head of the script.
usage() {
    sed -n '2,/^set /{/^#/{s/^# \{0,1\}//;p}}' "$script"
}

# Refuses an argument that the script does not know.
unknown() {
    printf '%s: unknown argument %s\n\n' "$script" "$1" >&2
    usage >&2
    exit 64
}

# Each is a program, a colon, and the Debian package that has it.
need() {
    local each
    for each in "$@"; do
        command -v "${each%%:*}" >/dev/null || failed "${each%%:*} is lacking: apt-get install ${each#*:}"
    done
}

# Installs a tool of Cargo's that is lacking: its name, its version.
cargo_tool() {
    command -v "$1" >/dev/null || cargo install "$1" --version "^$2" --locked
}

# Times in what is made are that of the last commit; outside of a repository, of the change that the changelog tells. C code
# would be compiled anew for each commit, so this comes after the build.
set_epoch() {
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
    export SOURCE_DATE_EPOCH
}

# Gives the folder, and all in it, the time of the last commit.
set_times() {
    find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}

# Builds the program, and sets `program` to its path: `shared` is linked to this machine's libc, `static` to nothing. It lists
# the crates that it was made of, for cargo-audit and other scanners, and names no folder of this machine.
build() {
    local flags folder
    cargo_tool cargo-auditable 0.7
    flags="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo --remap-path-prefix=$target=/target"
    folder=$profile
    case "$profile" in dev) folder=debug ;; esac
    if [ "$1" = static ]; then
        RUSTFLAGS="$flags -C target-feature=+crt-static" \
            cargo auditable build --profile "$profile" --locked --bin vouch --target "$host"
        program=$target/$host/$folder/vouch
    else
        RUSTFLAGS=$flags cargo auditable build --profile "$profile" --locked --bin vouch
        program=$target/$folder/vouch
    fi
}

# Sets `program` to the file of that name, in the folder that the script was called in, or without a name to what
# contrib/static makes.
static_program() {
    if [ -n "$1" ]; then
        program=$(cd "$OLDPWD" && readlink -e "$1") || failed "there is no file $1"
    else
        program=$(contrib/static | tee >(cat >&2) | sed -n 's/^made: //p')
    fi
}

# Writes the manual, the completions, and the licences of what is linked in into a folder: the program, the folder.
write_texts() {
    local shell
    "$1" man vouch >"$2/vouch.8"
    "$1" man vouch.toml >"$2/vouch.toml.5"
    for shell in bash zsh fish; do "$1" completions "$shell" >"$2/vouch.$shell"; done
    libraries | gzip -9n >"$2/libraries.gz"
}

# The licences of what is linked in ask for their notices in every copy.
libraries() {
    local name number licence folder notice
    cargo tree --locked --package vouchd --edges normal --prefix none --format '{p}|{l}' | LC_ALL=C sort -u |
        sed -n 's/^\([^ ]*\) v\([^ |]*\)[^|]*|\(.*\)$/\1 \2 \3/p' | while read -r name number licence; do
        for folder in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$name-$number"; do
            # Ours are not of the registry.
            [ -d "$folder" ] || continue
            printf '%s\n%s %s: %s\n' "$(printf '=%.0s' {1..78})" "$name" "$number" "$licence"
            find "$folder" -maxdepth 1 -type f -iregex '.*/\(licen[cs]e\|copying\|notice\|copyright\)[^/]*' |
                LC_ALL=C sort | while read -r notice; do
                printf -- '--- %s\n' "$(basename "$notice")"
                cat "$notice"
            done
        done
    done
}

# What follows is for trials.

# Starts a mail server on loopback that knows jane@example.org and nobody else, and sets `port` and `remote`, its process id.
start_remote() {
    port=$((20000 + $$ % 20000))
    socat "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr,fork" EXEC:contrib/packaging/remote &
    remote=$!
}

# Writes a configuration for it, whose name the machine of the trial must know: the folder of the sockets.
trial_configuration() {
    cat <<CONFIG
[directory."mailbox"]
type = "smtp"
address = "mail.example.org"
port = $port
tls.starttls = "never"
lookup.domains = ["example.org"]

[listener."recipients"]
protocol = "policy"
socket = "$1/policy"
mode = "0666"
directory = ["mailbox"]
CONFIG
}

# Asks about a recipient as Postfix does, and prints the answer: the socket, the recipient.
ask_policy() {
    printf 'request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nclient_address=192.0.2.1\nrecipient=%s\n\n' \
        "$2" | socat -t 30 - "UNIX-CONNECT:$1" | sed '/^$/d'
}

# Waits for an answer at a socket, and then for the two answers that are right: the socket.
expect_answers() {
    local yes no
    for _ in {1..300}; do
        yes=$(ask_policy "$1" jane@example.org 2>/dev/null || true)
        [ -z "$yes" ] || break
        sleep 0.1
    done
    no=$(ask_policy "$1" nobody@example.org || true)
    [ "$yes" = action=DUNNO ] || failed "jane@example.org was answered '$yes'"
    case "$no" in "action=REJECT 5.1.1 "* | "action=550 5.1.1 "*) ;; *) failed "nobody@example.org was answered '$no'" ;; esac
    printf 'ok: jane@example.org: %s; nobody@example.org: %s\n' "$yes" "$no"
}

# Runs a program in another root folder, with what each engine of containers and each init system gives it: a /proc and
# random bytes in /dev. The folder, USER:GROUP by their numbers, the program and its arguments.
confined() {
    mkdir -p "$1/proc" "$1/dev"
    touch "$1/dev/random" "$1/dev/urandom"
    unshare --mount --uts --ipc --pid --fork --kill-child bash -euc '
        root=$1 user=$2
        shift 2
        mount -t proc proc "$root/proc"
        for device in random urandom; do mount --bind "/dev/$device" "$root/dev/$device"; done
        exec chroot --userspec="$user" --groups= "$root" "$@"' - "$@"
}

# Ends whatever the trial has started, its mail server and such a program, and waits for it. The program has become another
# user, and no longer ends with its parent.
end_all() {
    local process
    if [ -n "${daemon:-}" ]; then
        for process in $(cat "/proc/$daemon/task/$daemon/children" 2>/dev/null); do
            # shellcheck disable=SC2046
            kill -KILL $(cat "/proc/$process/task/$process/children" 2>/dev/null) "$process" 2>/dev/null || true
        done
    fi
    if [ -n "${remote:-}" ]; then kill "$remote" 2>/dev/null || true; fi
    wait
}

# Ends such a program by SIGTERM, as an engine does: the process id of the above, whose grandchild it is.
end_confined() {
    local between child
    between=$(tr -d ' ' <"/proc/$1/task/$1/children")
    child=$(tr -d ' ' <"/proc/$between/task/$between/children")
    kill "$child"
    wait "$1" || failed "at SIGTERM it ended with $?"
    echo 'ok: it ends at SIGTERM'
}
