#!/bin/sh
# What Prism starts as a worker (--environment_type PROCESS): $BOOT, Beam's own entry program of a Python container.
# Prism 2.77 puts the worker's id in quotes, and does not know it again with them: they are taken off.
set -eu
for argument; do
    shift
    set -- "$@" "$(printf %s "$argument" | tr -d "'")"
done
folder=${WORKER_FOLDER:-$(mktemp -d)}
cd "$folder" # and not where the launcher was started, whose packages would be found first
# What is staged is installed into an environment of the worker's own, over what the python on PATH has.
below=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
python -m venv --clear --without-pip venv
for packages in venv/lib/python*/site-packages; do
    echo "import site; site.addsitedir('$below')" > "$packages/below.pth"
done
export PATH="$folder/venv/bin:$PATH" RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 # boot would make one under /opt
exec "$BOOT" --semi_persist_dir="$folder" "$@"
