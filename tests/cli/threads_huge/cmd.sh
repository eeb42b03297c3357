# A number beyond 64 bits does not wrap.
filigree info --threads 18446744073709551617 x
