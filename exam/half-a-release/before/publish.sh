#!/usr/bin/env bash
# publish.sh PACKAGE FOLDER: put a package and its checksum into a folder, and mark it READY when all is there.
set -e
. "$(dirname "$0")/lib/steps.sh"

if publish "$1" "$2"; then
    echo "published $(basename "$1")"
else
    echo "not published" >&2
    exit 1
fi
