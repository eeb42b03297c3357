# No help line is longer than 100 columns.
for verb in "" info kernels selftest bench help; do
    filigree $verb --help | awk 'length($0) > 100 { print; bad = 1 } END { exit bad }' || exit
done
