#!/bin/sh
# Installs Flotilla's agent on this host, enrols it and starts it.
#
#   curl -fsSL CONSOLE/install.sh | FLOTILLA_ENROLMENT_TOKEN=… sh -s -- CONSOLE CA_SHA256
#   curl -fsSL CONSOLE/install.sh | sh -s -- --uninstall
#
# The token is in the environment, never among the arguments, which every user can list.
# Run again with a new token it upgrades the program and keeps the identity. The agent runs
# as a user of its own and may only report: it executes nothing for the server.
set -eu

program=/opt/flotilla-agent
state=/var/lib/flotilla-agent
account=flotilla-agent
unit=/etc/systemd/system/flotilla-agent.service

say() { printf 'flotilla-agent: %s\n' "$*"; }
die() { printf 'flotilla-agent: %s\n' "$*" >&2; exit 1; }

has_systemd() { [ -d /run/systemd/system ]; }

as_agent() { setpriv --reuid "$account" --regid "$account" --clear-groups -- "$@"; }

stop_by_hand() {
    for process in /proc/[0-9]*; do
        [ "$(stat -c %U "$process" 2>/dev/null)" = "$account" ] || continue
        kill "${process#/proc/}" 2>/dev/null || true
    done
    sleep 2
}

uninstall() {
    if has_systemd && [ -f "$unit" ]; then
        systemctl disable --now flotilla-agent.service || true
        rm -f "$unit"
        systemctl daemon-reload
    elif id "$account" >/dev/null 2>&1; then
        stop_by_hand
    fi
    rm -rf "$program" "$state" /etc/flotilla-agent
    if id "$account" >/dev/null 2>&1; then userdel "$account"; fi
    say "removed; delete the server in the console too"
}

fetch() {
    name=flotilla-agent-linux-$(uname -m).tar.gz
    curl -fsSL --retry 3 -o "$work/$name" "$console/agent/$name" \
        || die "$console has no agent for $(uname -s) $(uname -m)"
    curl -fsSL --retry 3 -o "$work/$name.sha256" "$console/agent/$name.sha256"
    (cd "$work" && sha256sum --status -c "$name.sha256") || die "the download is damaged: try again"
    tar -C "$work" -xzf "$work/$name"
    "$work/flotilla-agent/flotilla-agent" --version >/dev/null \
        || die "the agent does not run here: it needs a C library as new as its builder's"
}

place() {
    rm -rf "$program.old"
    if [ -d "$program" ]; then mv "$program" "$program.old"; fi
    mv "$work/flotilla-agent" "$program"
    rm -rf "$program.old"
    id "$account" >/dev/null 2>&1 \
        || useradd --system --user-group --home-dir "$state" --shell /usr/sbin/nologin "$account"
    mkdir -p "$state"
    chown "$account:$account" "$state"
    chmod 700 "$state"
}

enrol() {
    if [ -z "${FLOTILLA_ENROLMENT_TOKEN:-}" ]; then
        [ -f "$state/identity.json" ] || die "FLOTILLA_ENROLMENT_TOKEN is not set"
        say "keeps its identity"
        return
    fi
    as_agent "$program/flotilla-agent" enrol --state "$state" \
        --console "$console" --ca-sha256 "$fingerprint" --force
}

start() {
    if ! has_systemd; then
        say "no systemd here; start it with"
        say "  setpriv --reuid $account --regid $account --clear-groups $program/flotilla-agent --state $state"
        return
    fi
    cat > "$unit" <<UNIT
[Unit]
Description=Flotilla agent
Wants=network-online.target
After=network-online.target

[Service]
User=$account
ExecStart=$program/flotilla-agent --state $state
Restart=always
RestartSec=5
Environment=MALLOC_ARENA_MAX=2
MemoryMax=128M
CPUQuota=25%
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths=$state
PrivateTmp=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictSUIDSGID=yes
LockPersonality=yes
CapabilityBoundingSet=

[Install]
WantedBy=multi-user.target
UNIT
    systemctl daemon-reload
    systemctl enable flotilla-agent.service >/dev/null 2>&1
    systemctl restart flotilla-agent.service
    say "installed and running; the console shows it in a moment"
}

main() {
    [ "$(id -u)" = 0 ] || die "run this as root: sudo -i first"
    if [ "${1:-}" = --uninstall ]; then uninstall; return; fi
    [ $# -eq 2 ] || die "usage: sh -s -- CONSOLE CA_SHA256, or --uninstall"
    console=${1%/}
    fingerprint=$2
    for tool in curl tar sha256sum setpriv useradd; do
        command -v "$tool" >/dev/null || die "$tool is needed"
    done
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    fetch
    place
    enrol
    start
}

# Last, so that a script cut short on its way does nothing.
main "$@"
