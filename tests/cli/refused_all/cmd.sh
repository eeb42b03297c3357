# Every option that takes a value has lines in the scripts refused_*.
python3 "$CLI_TESTS/refusals.py" --complete
