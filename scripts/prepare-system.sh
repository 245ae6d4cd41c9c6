#!/bin/sh
# Installs what Debian or Ubuntu lack for a virtual environment and for Blender as a module; does nothing where all is there.
set -eu
python=${1:-python3}

missing=""
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
for pair in libX11.so.6:libx11-6 libXi.so.6:libxi6 libXxf86vm.so.1:libxxf86vm1 libXfixes.so.3:libxfixes3 \
    libXrender.so.1:libxrender1 libxkbcommon.so.0:libxkbcommon0 libSM.so.6:libsm6 libICE.so.6:libice6 \
    libGL.so.1:libgl1 libEGL.so.1:libegl1 libgomp.so.1:libgomp1; do
    "$python" -c "import ctypes, sys; ctypes.CDLL(sys.argv[1])" "${pair%%:*}" 2>/dev/null || missing="$missing ${pair##*:}"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "Missing:$missing (Debian's names). Install them with your package manager and run this again." >&2
    exit 1
fi
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo"
echo "Installing Debian packages:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
if ! { $as_root apt-get update -q && $as_root apt-get install -qy --no-install-recommends $missing; }; then
    echo "That failed. Run this yourself, then make again: sudo apt-get install$missing" >&2
    exit 1
fi
