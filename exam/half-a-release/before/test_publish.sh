# Tests of publish.sh. Each says what it finds; the last line counts them.
ran=0 failed=0
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

same() { # same WORDS EXPECTED FOUND
    ran=$((ran + 1))
    if [ "$2" = "$3" ]; then echo "ok: $1"; else
        failed=$((failed + 1))
        echo "NOT ok: $1: expected [$2], found [$3]"
    fi
}
there() { if [ -e "$1" ]; then echo yes; else echo no; fi; }

echo "the package" > "$place/tool.tar"
same "a package is published" "published tool.tar" "$(bash publish.sh "$place/tool.tar" "$place/good" 2>&1)"
same "with its checksum" "$(cksum <"$place/tool.tar" | cut -d ' ' -f 1) tool.tar" "$(cat "$place/good/SUM")"
same "and marked" "yes" "$(there "$place/good/READY")"

said=$(bash publish.sh "$place/missing.tar" "$place/bad" 2>/dev/null)
same "a package that is not there: the exit code" "1" "$?"
same "nothing is said to be published" "" "$said"
same "and nothing is marked" "no" "$(there "$place/bad/READY")"

echo "Ran $ran tests, $failed failed"
[ "$failed" -eq 0 ]
