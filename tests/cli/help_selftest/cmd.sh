filigree help selftest | head -n 1
