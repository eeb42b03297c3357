# Every picture, the overview, the listing; then some of them in raster order.
python3 "$CLI_TESTS/make_mask.py" m || exit 77
filigree masks m -o d || exit 1
ls d
cat d/masks.json
filigree masks m -o r --raster --layer 1-12 --step 3 --pass 0 --head 0 --scale 2 --json || exit 1
ls r
