# The backend's sources. Kernels in *_sm90.cu use what only Hopper has; all others are built for Ampere
# and later too.
set(FIL_CUDA_ANY attn_fwd_mma.cu backend.cu conv3d_lt.cu elementwise.cu linear_lt.cu mass_mma.cu norm_rows.cu
    pooling_runs.cu select_tiles.cu vendor.cu)
set(FIL_CUDA_HOPPER attn_fwd_sm90.cu)
