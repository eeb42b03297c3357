# A GGUF file: metadata as text, block types, five dimensions, a true shape.
python3 "$CLI_TESTS/make_gguf.py" a.gguf || exit
filigree info a.gguf
filigree info --json a.gguf
