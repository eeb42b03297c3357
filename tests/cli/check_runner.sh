#!/bin/sh
# check_runner.sh PYTHON: run_cli_tests must fail when it should. Planted cases, one per way to be
# wrong; each is expected in the list of failures, and nothing else is.
set -eu
python=$1
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/cases"
cd "$scratch/cases"

printf '#!/bin/sh\necho "out $*"\necho "err $*" >&2\nexit 3\n' >../program
chmod +x ../program

# plant NAME EXIT OUT ERR
plant() {
    mkdir "$1"
    echo 'filigree a' >"$1/cmd.sh"
    printf '%s\n' "$2" >"$1/cmd.exit"
    printf "$3" >"$1/cmd.out"
    printf "$4" >"$1/cmd.err"
}
plant good 3 'out a\n' 'err a\n'
plant good_glob 3 'glob: o*[at]\n' 'glob: ...\nglob: err ?\nglob: ...\n'
plant bad_exit 0 'out a\n' 'err a\n'
plant bad_out 3 'out b\n' 'err a\n'
plant bad_err 3 'out a\n' 'err a'
plant bad_glob 3 'glob: out b*\n' 'err a\n'
plant bad_more 3 'out a\nout a\n' 'err a\n'
plant bad_glob_more 3 'glob: out*\nglob: out*\n' 'err a\n'
plant skipped 0 '' ''
echo 'echo reason >&2; exit 77' >skipped/cmd.sh
# Lines of progress are left out of what a slow machine says, and nothing else is.
slow='filigree: bench 1/2, 2.51 s each, 0:03 so far, left 0:03\nfiligree: [1/3] bench begins\n'
slow="$slow"'filigree: bench ended after 0:05, 2.64 s each\n'
plant good_slow 3 'out a\n' 'err a\n'
plant good_progress 3 'out a\n' "${slow}err a\n"
plant bad_progress 3 'out a\n' "${slow}err a\n"
plant bad_slow 3 'out a\n' 'err a\n'
# say NAME LINES: what the case's program says first.
say() {
    printf "printf '%%b' '%s' >&2\nfiligree a\n" "$2" >"$1/cmd.sh"
}
say good_slow "$slow"
say good_progress "$slow"
say bad_slow "$slow"'filigree: bench failed after 0:05\n'

code=0
"$python" "$here/run_cli_tests" --program ../program --cases . >../log || code=$?
sed -n '/^\[==========\] .* run\./,$p' ../log >../found
cat >../expected <<'END'
[==========] 13 test(s) run.
[  PASSED  ] 4 test(s).
[  SKIPPED ] 1 test(s), listed below:
[  SKIPPED ] skipped
[  FAILED  ] 8 test(s), listed below:
[  FAILED  ] bad_err
[  FAILED  ] bad_exit
[  FAILED  ] bad_glob
[  FAILED  ] bad_glob_more
[  FAILED  ] bad_more
[  FAILED  ] bad_out
[  FAILED  ] bad_progress
[  FAILED  ] bad_slow
END
diff ../expected ../found
[ "$code" = 1 ] || { echo "exit code $code, expected 1"; exit 1; }

# --update makes the plain ones pass and leaves those with globs alone.
"$python" "$here/run_cli_tests" --program ../program --cases . --update >../log || true
"$python" "$here/run_cli_tests" --program ../program --cases . >../log || true
sed -n 's/^\[  FAILED  \] \(bad.*\)/\1/p' ../log | sort -u | tr '\n' ' ' >../found
if [ "$(cat ../found)" != "bad_glob bad_glob_more " ]; then
    echo "left after --update: $(cat ../found)"
    exit 1
fi
