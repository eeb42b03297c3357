# Every suffix is taken.
. "$CLI_TESTS/inputs.sh"
two a
for size in 1000000 1000000B 1000K 1000KiB 1M 1MiB 1G 1GiB 1T 1TiB; do
    filigree info --max-memory "$size" a >/dev/null || echo "refused: $size"
done
