# Without a verb: wrong usage, nothing on stdout.
filigree
