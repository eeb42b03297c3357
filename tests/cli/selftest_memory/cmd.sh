# What the machine lacks is no fault of a kernel.
filigree selftest --max-memory 200K --threads 1 >out
