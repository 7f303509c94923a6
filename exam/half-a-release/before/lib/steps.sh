# The steps of a release.

checksum() { # checksum PACKAGE: one line, sum and name
    local sum=$(cksum <"$1" | cut -d ' ' -f 1)
    echo "$sum $(basename "$1")"
}

publish() { # publish PACKAGE FOLDER
    mkdir -p "$2"
    rm -f "$2/READY"
    checksum "$1" >"$2/SUM"
    cp "$1" "$2/"
    echo ready >"$2/READY"
}
