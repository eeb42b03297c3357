# A PyTorch checkpoint as safetensors, without running anything that is in it.
python3 "$CLI_TESTS/make_pth.py" a.pth || exit
filigree convert a.pth -o a.safetensors
filigree info a.safetensors
python3 "$CLI_TESTS/make_pth.py" --evil b.pth || exit
filigree convert b.pth -o b.safetensors; echo "exit $?"
ls
