# A folder with a transformer is told as a model; one that cannot run says why.
[ -d "${FIL_FIXTURES:-}" ] || { echo "no FIL_FIXTURES" >&2; exit 77; }
filigree info "$FIL_FIXTURES/pipeline" | sed -n '/^model/,$p' || exit
mkdir m
cp "$FIL_FIXTURES/pipeline/transformer/diffusion_pytorch_model.safetensors" m || exit
sed 's/"ffn_dim": 320/"ffn_dim": 321/' "$FIL_FIXTURES/pipeline/transformer/config.json" >m/config.json
filigree info m | sed -n '/^model/,$p'
