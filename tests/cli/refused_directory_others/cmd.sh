# The same of the other verbs.
. "$CLI_TESTS/inputs.sh"
demo_model demo
mkdir d d.png d.safetensors a.png.frames
echo text >file
two t.safetensors
st l '{"latents":{"dtype":"F32","shape":[16,1,2,2],"data_offsets":[0,256]}}' 256
st f '{"frames":{"dtype":"U8","shape":[1,16,16,3],"data_offsets":[0,768]}}' 768
python3 "$CLI_TESTS/refusals.py" <<'END'
= filigree decode --input l --output b.png
--model file
--model demo --vae d
= filigree decode --model demo
--input d --output b.png
--input l --output d.png
--input l --output d.png --force
--input l --output a.png
--input l --output a.png --force
--input l --save-frames d
--input l --save-frames d --force
= filigree encode --output m
--model file --input f
--model demo --vae d --input f
--model demo --input d
--model demo --input d.png
--model demo --input d.safetensors
= filigree encode --model demo --input f
--output d
--output d --force
= filigree info
file/name
= filigree convert
d.safetensors --output a.safetensors
d --output a.safetensors
t.safetensors --output d.safetensors
t.safetensors --output d.safetensors --force
t.safetensors --output file/a.safetensors
END
