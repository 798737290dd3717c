#!/bin/sh
# End the cluster of up.sh at once; its data stays in FOLDER.
set -eu

for file in "$1"/*/pid; do
    if [ -e "$file" ]; then kill -KILL "$(cat "$file")" 2>/dev/null || true; fi
    rm -f "$file"
done
export ERL_EPMD_PORT="$(cat "$1/inner_port")"
for _ in 1 2 3 4 5 6 7 8 9 10; do # it stays while it knows of a node
    if epmd -kill >/dev/null 2>&1; then exit; fi
    sleep 0.2
done
