# A PyTorch checkpoint; two tensors that share a storage are both counted.
python3 "$CLI_TESTS/make_pth.py" a.pth || exit
filigree info a.pth
filigree info --json a.pth
