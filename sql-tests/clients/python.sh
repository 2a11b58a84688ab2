#!/usr/bin/env bash
# Prints a Python that has the given packages: python.sh PACKAGE …
# It is a venv in the user's cache folder, made once.
set -euo pipefail
venv=${XDG_CACHE_HOME:-$HOME/.cache}/meridian-clients/venv
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv" >&2
fi
for package in "$@"; do
  module=${package%%[*}
  "$venv/bin/python" -c "import importlib.metadata as m; m.version('$module')" 2>/dev/null ||
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$package" >&2
done
echo "$venv/bin/python"
