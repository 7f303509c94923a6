# Tests of backup.sh. Each says what it finds; the last line counts them.
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

mkdir -p "$place/from/folder"
echo one > "$place/from/one.txt"
echo two > "$place/from/two.txt"
same "plain names are counted" "2 files" "$(sh backup.sh "$place/from" "$place/to" 2>&1)"
same "and copied" "one" "$(cat "$place/to/one.txt" 2>&1)"

echo notes > "$place/from/my notes.txt"
same "a name with a space is counted" "3 files" "$(sh backup.sh "$place/from" "$place/my backup" 2>&1)"
same "and copied" "notes" "$(cat "$place/my backup/my notes.txt" 2>&1)"

echo "Ran $ran tests, $failed failed"
[ "$failed" -eq 0 ]
