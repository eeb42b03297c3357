# Files that are not there, of the other verbs.
. "$CLI_TESTS/inputs.sh"
demo_model demo
two t.safetensors
st l '{"latents":{"dtype":"F32","shape":[16,1,2,2],"data_offsets":[0,256]}}' 256
st f '{"frames":{"dtype":"U8","shape":[1,16,16,3],"data_offsets":[0,768]}}' 768
python3 "$CLI_TESTS/refusals.py" <<'END'
= filigree decode --input l --output a.png
--model none
--model demo --vae none
= filigree decode --model demo
--input none --output a.png
--input l --output no/a.png
--input l --save-frames no/g
= filigree encode --output m
--model none --input f
--model demo --vae none --input f
--model demo --input none
--model demo --input none.mp4
--model demo --input none/%d.png
= filigree encode --model demo --input f
--output no/m
= filigree info
none
none/none
= filigree convert
none --output a.safetensors
t.safetensors none --output a.safetensors
t.safetensors --output no/a.safetensors
END
