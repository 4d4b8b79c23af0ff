#!/bin/sh
# Builds the agent as one folder that needs no Python on the host, and packs it:
# build/agent/flotilla-agent-linux-<machine>.tar.gz with its SHA-256 beside it.
# It runs on hosts whose C library is at least as new as that of this machine.
set -eu
cd "$(dirname "$0")/../.."

out=build/agent
name=flotilla-agent-linux-$(uname -m)
rm -rf "$out"
mkdir -p "$out"
printf 'from agent.__main__ import main\n\nmain()\n' > "$out/flotilla-agent.py"
PYTHONNODEBUGRANGES=1 .venv/bin/pyinstaller --noconfirm --log-level ERROR --onedir --strip --optimize 2 --name flotilla-agent \
    --paths . --paths proto --hidden-import _cffi_backend \
    --exclude-module tkinter --exclude-module setuptools --exclude-module pytest \
    --distpath "$out/dist" --workpath "$out/work" --specpath "$out/work" "$out/flotilla-agent.py"
"$out/dist/flotilla-agent/flotilla-agent" --version
tar -C "$out/dist" -czf "$out/$name.tar.gz" --owner=0 --group=0 flotilla-agent
(cd "$out" && sha256sum "$name.tar.gz" > "$name.tar.gz.sha256")
rm -rf "$out/dist" "$out/work" "$out/flotilla-agent.py"
