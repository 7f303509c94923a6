ran=0 failed=0
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

same() {
    ran=$((ran + 1))
    if [ "$2" = "$3" ]; then echo "ok: $1"; else
        failed=$((failed + 1))
        echo "NOT ok: $1: expected [$2], found [$3]"
    fi
}

copied() { # copied WORDS NAME: a folder with one file of this name and an ordinary one
    rm -rf "$place/a folder" "$place/to"
    mkdir "$place/a folder"
    echo odd > "$place/a folder/$2"
    echo plain > "$place/a folder/plain.txt"
    same "$1, counted" "2 files" "$(sh backup.sh "$place/a folder" "$place/to" 2>&1)"
    same "$1, copied" "odd" "$(cat "$place/to/$2" 2>&1)"
}

copied "two spaces in a row" "a  b"
copied "a star" "*"
copied "brackets" "[draft].txt"
copied "a tab" "$(printf 'a\tb')"
copied "a dash in front" "-n"
copied "a line break" "$(printf 'a\nb')"
copied "a backslash" 'a\b'
copied "spaces around it" " a "

rm -rf "$place/empty" "$place/to"
mkdir -p "$place/empty/only a folder"
same "a folder without files" "0 files" "$(sh backup.sh "$place/empty" "$place/to" 2>&1)"

echo "Ran $ran tests, $failed failed"
[ "$failed" -eq 0 ]
