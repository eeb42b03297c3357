# A file that a download cut off.
python3 "$CLI_TESTS/make_gguf.py" --cut 200 a.gguf || exit
filigree info a.gguf
