# A type that filigree does not read is named, with the tensor that has it.
python3 "$CLI_TESTS/make_gguf.py" --type 23 a.gguf || exit
filigree info a.gguf
