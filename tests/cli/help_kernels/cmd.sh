filigree help kernels | head -n 1
