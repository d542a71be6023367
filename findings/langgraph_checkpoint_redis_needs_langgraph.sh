#!/usr/bin/env bash
# langgraph-checkpoint-redis cannot be imported where only what it names as its dependencies is installed: its package
# imports langgraph.constants, which is in the distribution langgraph, and that is not among them (langgraph-checkpoint
# is). langgraph-checkpoint-sqlite, whose dependencies are of the same kind, can be.
#
# Versions: langgraph-checkpoint-redis 0.5.2, langgraph-checkpoint-sqlite 3.1.2, langgraph-checkpoint as they resolve it.
# Source: langgraph/checkpoint/redis/__init__.py, the import of TASKS; the wheel's METADATA, Requires-Dist.
# Seen: sqlite: imported
#       redis: ModuleNotFoundError: No module named 'langgraph.constants'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
look() {
    "${PYTHON:-python3.11}" -m venv "$1"
    "$1/bin/pip" install --quiet "$2"
    "$1/bin/python" - "$1" <<'PY'
import importlib
import sys

try:
    importlib.import_module(f"langgraph.checkpoint.{sys.argv[1]}")
except ImportError as exc:
    print(f"{sys.argv[1]}: {type(exc).__name__}: {exc}")
else:
    print(f"{sys.argv[1]}: imported")
PY
}
{ look sqlite langgraph-checkpoint-sqlite==3.1.2; look redis langgraph-checkpoint-redis==0.5.2; } | tee seen
diff seen - <<'SEEN' || { echo "This has changed."; exit 1; }
sqlite: imported
redis: ModuleNotFoundError: No module named 'langgraph.constants'
SEEN
