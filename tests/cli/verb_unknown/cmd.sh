# An unknown verb: wrong usage.
filigree frobnicate x
