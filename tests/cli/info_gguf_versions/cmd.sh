# What is not read is said, and what to do is not left open.
for version in 1 4 50331648; do
    python3 "$CLI_TESTS/make_gguf.py" --version $version a.gguf || exit
    filigree info a.gguf
    echo $?
done
