# A size beyond 2^63 does not wrap.
filigree info --max-memory 8388608T x
