#!/bin/sh
# check_man.sh PROGRAM PAGE.md: every verb, option, exit code and environment variable of the help
# texts stands in the man page, and the other way round. Verbs are headings of VERBS, options are
# bold words of OPTIONS.
set -eu
program=$1
page=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
failed=0

# Lines of the page under a heading, up to the next one of the first level.
section() {
    awk -v want="# $1" '/^# / { on = ($0 == want) } on' "$page"
}

# compare WHAT: help.txt and man.txt hold one item per line.
compare() {
    sort -u help.txt >help.sorted
    sort -u man.txt >man.sorted
    [ -s help.sorted ] || { echo "no $1 found in the help texts"; failed=1; }
    comm -23 help.sorted man.sorted | sed "s/^/$1 in --help, not in the man page: /" >difference
    comm -13 help.sorted man.sorted | sed "s/^/$1 in the man page, not in --help: /" >>difference
    if [ -s difference ]; then
        cat difference
        failed=1
    fi
}

"$program" --help >program.txt
sed -n '/^verbs:/,/^$/s/^  \([a-z][a-z-]*\)  .*/\1/p' program.txt >help.txt
cp help.txt verbs.txt
section VERBS | sed -n 's/^## \([a-z-]*\)$/\1/p' >man.txt
compare verb

# "-v, --verbose", "--threads N": the letter and the value's name are part of the item.
cp program.txt all.txt
while read -r verb; do
    "$program" "$verb" --help >>all.txt
done <verbs.txt
sed -n 's/^  \(-., \|    \)\(--[a-z0-9-]*\( [A-Z][A-Z,]*\)\{0,1\}\)  .*/\1\2/p' all.txt |
    sed 's/^ *//' >help.txt
section OPTIONS | { grep '^\*\*-' || true; } | tr -d '*' >man.txt
compare option

sed -n '/^exit codes:/,/^$/s/^ *\([0-9][0-9]*\)  \(.*\)/\1 \2/p' program.txt >help.txt
section "EXIT STATUS" |
    awk '/^\*\*[0-9]/ { code = $1 } /^: / && code { print code, $0; code = "" }' |
    sed 's/^\*\*\([0-9]*\)\*\* : \(.*\)\.$/\1 \2/' >man.txt
compare 'exit code'

{ grep -o 'FIL_[A-Z_]*' program.txt || true; } >help.txt
section ENVIRONMENT | { grep -o 'FIL_[A-Z_]*' || true; } >man.txt
compare variable

exit "$failed"
