filigree kernels x
