# Every step in turn is made to fail: a command of that name that does, before all others on PATH.
ran=0 failed=0
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
echo "the package" > "$place/tool.tar"

same() {
    ran=$((ran + 1))
    if [ "$2" = "$3" ]; then echo "ok: $1"; else
        failed=$((failed + 1))
        echo "NOT ok: $1: expected [$2], found [$3]"
    fi
}
there() { if [ -e "$1" ]; then echo yes; else echo no; fi; }

nothing_after() { # nothing_after WORDS FOLDER STUBS
    said=$(PATH="$3:$PATH" bash publish.sh "$place/tool.tar" "$2" 2>/dev/null)
    same "$1: the exit code" "1" "$?"
    same "$1: nothing is said" "" "$said"
    same "$1: nothing is marked" "no" "$(there "$2/READY")"
}

for step in cp cksum mkdir; do
    mkdir -p "$place/no-$step"
    printf '#!/bin/sh\nexit 1\n' > "$place/no-$step/$step"
    chmod +x "$place/no-$step/$step"
    nothing_after "$step fails" "$place/to-$step" "$place/no-$step"
done

mkdir -p "$place/odd/SUM"
nothing_after "the checksum cannot be written" "$place/odd" "$place"

bash publish.sh "$place/tool.tar" "$place/again" >/dev/null 2>&1
nothing_after "what was ready before is no longer" "$place/again" "$place/no-cp"

same "all is well" "published tool.tar" "$(bash publish.sh "$place/tool.tar" "$place/good" 2>&1)"
same "all is marked" "yes" "$(there "$place/good/READY")"

echo "Ran $ran tests, $failed failed"
[ "$failed" -eq 0 ]
