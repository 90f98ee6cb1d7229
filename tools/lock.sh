#!/usr/bin/env bash
# Writes requirements/*.txt: exact versions with hashes, for Python 3.11 and later on every platform.
# --no-annotate, --no-header and --no-emit-index-url keep paths and hosts of this machine out.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v uv >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 1; }

lock() { # NAME CONSTRAINT-or-"" ARGUMENTS...
    local out="requirements/$1.txt" constraint="$2"
    shift 2
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
        --no-header --no-emit-index-url --no-emit-find-links ${constraint:+--constraint "$constraint"} \
        --output-file "$out" "$@" >/dev/null
}

run=(pyproject.toml --group build --extra run)
everything=("${run[@]}" --extra serve --extra openfeature --extra otel --extra pandas --extra cloudpickle)
lock test "" "${everything[@]}" --extra train --group train --group test --group lint "$@"
# run.txt is a part of test.txt: the same versions, fewer packages, so that `make run` is quick.
lock run requirements/test.txt "${run[@]}" "$@"
lock serve requirements/test.txt "${run[@]}" --extra train --extra serve --group train "$@"
lock train requirements/test.txt "${run[@]}" --extra train --group train "$@"
# Without the test lock as constraint: MLflow wants an older pyarrow.
lock mlflow "" "${run[@]}" --extra mlflow --group mlflow "$@"
# By itself: what it wants firedoor does not.
lock clients "" --group build --group clients "$@"
lock integration "" "${everything[@]}" --group test --group integration "$@"
lock bench "" "${everything[@]}" --group bench "$@"
lock mutants requirements/test.txt "${run[@]}" --group mutants "$@"
lock bench-guards requirements/test.txt "${run[@]}" --group bench-guards "$@"
lock bench-serving "" pyproject.toml --group build --group bench-serving "$@"
lock bench-ray "" pyproject.toml --group build --group bench-ray "$@"
if grep -nE '://|^--(index|extra|find)|file:' requirements/*.txt; then
    echo "a lock file names a host or a path: see the lines above" >&2
    exit 1
fi
