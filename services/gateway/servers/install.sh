#!/bin/sh
# Installs Flotilla's agent on this host, enrols it and starts it.
#
#   curl -fsSL CONSOLE/install.sh | FLOTILLA_ENROLMENT_TOKEN=… sh -s -- \
#       CONSOLE CA_SHA256 [COMMAND_KEY [--shell] [--commands] [--files=read|write]
#       [--file-root=PATH]… [--docker=read|actions] [--run-as=agent|root]]
#   curl -fsSL CONSOLE/install.sh | sh -s -- --uninstall
#
# The token is in the environment and not an argument, because every user can list arguments.
# Running the line again upgrades the agent. Without a token, the agent keeps its identity.
#
# The agent executes commands that are signed with COMMAND_KEY and allowed by the policy file
# /etc/flotilla-agent/policy.toml. The policy file is written only from this line; a permission
# that is not in it is off. A line without a token and without permissions upgrades the agent. It
# keeps a policy file of the same console, and one that the host's owner wrote. A line with a token
# allows exactly the permissions in it. The agent runs as its own user, or as root with --run-as=root.
set -eu

program=/opt/flotilla-agent
state=/var/lib/flotilla-agent
account=flotilla-agent
unit=/etc/systemd/system/flotilla-agent.service
policy=/etc/flotilla-agent/policy.toml

say() { printf 'flotilla-agent: %s\n' "$*"; }
die() { printf 'flotilla-agent: %s\n' "$*" >&2; exit 1; }

has_systemd() { [ -d /run/systemd/system ]; }

as_agent() {
    if [ "$run_as" = root ]; then
        "$@"
    else
        setpriv --reuid "$account" --regid "$account" --clear-groups -- "$@"
    fi
}

agents() {
    for process in /proc/[0-9]*; do
        case "$(stat -c %U "$process" 2>/dev/null) $(readlink "$process/exe" 2>/dev/null)" in
            "$account "* | *" $program/"* | *" $program.old/"*) echo "${process#/proc/}" ;;
        esac
    done
}

# Agents end the programs that they started before they end themselves.
stop_by_hand() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        running=$(agents)
        [ -n "$running" ] || return 0
        kill $running 2>/dev/null || true
        sleep 1
    done
}

parse() {
    console=${1%/}
    fingerprint=$2
    shift 2
    command_key='' ticked='' shell=false commands=false files='' roots='' docker='' run_as=''
    case ${1:-} in
        '' | --*) ;;
        *)
            command_key=$1
            shift
            case $command_key in *[!0-9a-fA-F]*) die "$command_key is no command key" ;; esac
            [ ${#command_key} -eq 64 ] || die "$command_key is no command key"
            ;;
    esac
    for word; do
        case $word in
            --run-as=agent | --run-as=root) run_as=${word#*=}; continue ;;
            --shell) shell=true ;;
            --commands) commands=true ;;
            --files=read | --files=write) files=${word#*=} ;;
            --file-root=*) add_root "${word#*=}" ;;
            --docker=read | --docker=actions) docker=${word#*=} ;;
            *) die "$word is not known" ;;
        esac
        ticked=yes
    done
    [ -z "$ticked" ] || [ -n "$command_key" ] \
        || die "the command key is missing: copy the whole line from the console"
    [ -n "$files" ] || [ -z "$roots" ] || die "--file-root needs --files=read or --files=write"
    if [ -n "$files" ] && [ -z "$roots" ]; then roots="'/'"; fi
}

add_root() {
    case $1 in
        *\'* | *[[:cntrl:]]*) die "--file-root: a quote or control character cannot be in it" ;;
        /*) roots="$roots${roots:+, }'$1'" ;;
        *) die "--file-root=$1: must be an absolute path" ;;
    esac
}

# Permissions of another console or of an earlier enrolment do not apply to this one.
keeps_policy() {
    [ -z "$ticked" ] && [ -z "${FLOTILLA_ENROLMENT_TOKEN:-}" ] && [ -f "$policy" ] || return 1
    ! grep -q '^# Console ' "$policy" || grep -q "^# Console $fingerprint\$" "$policy"
}

decide() {
    keep=no
    if keeps_policy; then keep=yes; fi
    [ -z "$run_as" ] || return 0
    run_as=agent
    if [ "$keep" = yes ] && [ "$(stat -c %U "$state" 2>/dev/null)" = root ]; then run_as=root; fi
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
    own
    chmod 700 "$state"
}

# Change all files, because the agent may have run as another user before.
own() {
    if [ "$run_as" = root ]; then owner=root:root; else owner=$account:$account; fi
    chown -Rh "$owner" "$state"
}

enrol() {
    if [ -z "${FLOTILLA_ENROLMENT_TOKEN:-}" ]; then
        [ -f "$state/identity.json" ] || die "FLOTILLA_ENROLMENT_TOKEN is not set"
        say "keeps its identity"
        if [ -n "$command_key" ]; then
            as_agent "$program/flotilla-agent" trust "$command_key" --state "$state" >/dev/null
        fi
        return
    fi
    as_agent "$program/flotilla-agent" enrol --state "$state" \
        --console "$console" --ca-sha256 "$fingerprint" --force \
        ${command_key:+--command-key "$command_key"}
}

# This happens after the enrolment, so a line that is refused does not change the policy.
tick() {
    if [ "$keep" = no ]; then
        (
            umask 022
            mkdir -p "${policy%/*}"
            cat > "$policy.new" <<POLICY
# What the console may do on this host. Nothing it sends can change this file.
# Console $fingerprint
shell = $shell
commands = $commands
files = "${files:-off}"
file_roots = [$roots]
docker = "${docker:-off}"
POLICY
        )
        mv "$policy.new" "$policy"
    fi
    # As the agent's user, because the answer names the user that runs the command.
    allowed=$(as_agent "$program/flotilla-agent" policy --policy "$policy" --state "$state") \
        || allowed=''
    say "what the console may do here:"
    printf '%s\n' "$allowed" | sed 's/^/    /'
}

allows() { printf '%s\n' "$allowed" | grep -Eq "^$1 +($2)"; }

# Groups that the agent needs in addition to its own.
extra_groups() {
    if [ "$run_as" = agent ] && allows docker 'read|actions'; then
        if grep -q '^docker:' /etc/group; then
            echo docker
        else
            say "there is no group docker, so the agent cannot reach the engine" >&2
        fi
    fi
}

# Restrictions of the unit. A permission removes the restrictions that would prevent it.
hardening() {
    # A shell needs all rights of its user, and the memory and CPU time of the host.
    if allows shell on || allows commands on; then return; fi
    echo MemoryMax=128M
    echo NoNewPrivileges=yes
    echo ProtectKernelTunables=yes
    echo ProtectControlGroups=yes
    echo 'RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK'
    echo LockPersonality=yes
    if allows files write; then
        capabilities='CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID'
    else
        capabilities=CAP_DAC_READ_SEARCH
        echo ProtectSystem=strict
        echo ProtectHome=read-only
        echo "ReadWritePaths=$state"
        echo RestrictSUIDSGID=yes
    fi
    if ! allows files 'read|write'; then
        capabilities=''
        echo CPUQuota=25%
        echo PrivateTmp=yes
        echo ProtectKernelModules=yes
    fi
    if [ "$run_as" = agent ]; then capabilities=''; fi
    echo "CapabilityBoundingSet=$capabilities"
}

# KillMode=mixed: the agent ends its programs, then systemd ends the remaining processes.
unit_text() {
    if [ "$run_as" = root ]; then user=root; else user=$account; fi
    cat <<UNIT
[Unit]
Description=Flotilla agent
Wants=network-online.target
After=network-online.target

[Service]
User=$user
${supplementary:+SupplementaryGroups=$supplementary
}ExecStart=$program/flotilla-agent --state $state
Restart=always
RestartSec=5
KillMode=mixed
TimeoutStopSec=20
$(hardening)

[Install]
WantedBy=multi-user.target
UNIT
}

start() {
    supplementary=$(extra_groups)
    if ! has_systemd; then
        say "no systemd here; start it with"
        command="$program/flotilla-agent --state $state"
        if [ "$run_as" = agent ]; then
            more=--clear-groups
            if [ -n "$supplementary" ]; then more="--groups $supplementary"; fi
            command="setpriv --reuid $account --regid $account $more $command"
        fi
        say "  $command"
        return
    fi
    unit_text > "$unit"
    systemctl daemon-reload
    systemctl enable flotilla-agent.service >/dev/null 2>&1
    systemctl stop flotilla-agent.service
    own
    systemctl start flotilla-agent.service
    say "installed and running; the console shows it in a moment"
}

main() {
    [ "$(id -u)" = 0 ] || die "run this as root: sudo -i first"
    if [ "${1:-}" = --uninstall ]; then uninstall; return; fi
    [ $# -ge 2 ] || die "usage: sh -s -- CONSOLE CA_SHA256 [COMMAND_KEY [POWER…]], or --uninstall"
    parse "$@"
    decide
    for tool in curl tar sha256sum setpriv useradd; do
        command -v "$tool" >/dev/null || die "$tool is needed"
    done
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    fetch
    place
    enrol
    tick
    start
}

# The call is the last line, so an incomplete download of this script does nothing.
main "$@"
