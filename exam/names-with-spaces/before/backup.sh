#!/bin/sh
# backup.sh FROM TO: copy every file of a folder, but not its folders, and say how many there were.
set -eu

from=$1
to=$2
count=0

mkdir -p $to
for file in $(ls $from); do
    if [ -f $from/$file ]; then
        cp $from/$file $to/$file
        count=$((count + 1))
    fi
done
echo "$count files"
