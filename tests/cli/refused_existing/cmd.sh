# What is there stays, unless --force says otherwise: every file of a run is looked for before it.
. "$CLI_TESTS/inputs.sh"
demo_model demo
two t.safetensors
st l '{"latents":{"dtype":"F32","shape":[16,1,2,2],"data_offsets":[0,256]}}' 256
st f '{"frames":{"dtype":"U8","shape":[1,16,16,3],"data_offsets":[0,768]}}' 768
mkdir p c
for name in a.png a.y4m p/0.png n m b.png.json b.png.resume.safetensors c.resume.safetensors.frames \
    c.latents.safetensors c/layer000_step000_pass0.safetensors g.layer000_step000_pass0.safetensors \
    d.png.frames e.frames a.safetensors; do
    echo mine >$name
done
python3 "$CLI_TESTS/refusals.py" <<'END'
= filigree generate --model demo --prompt x --threads 1 -W 32 -H 32 --frames 1 --steps 1
--output a.png
--output a.y4m
--output p/%d.png
--save-noise n --save-frames g
--save-latents n --save-frames g
--save-latents l
--save-frames n
--output b.png
--save-frames c
--save-frames g --capture 0:0 --capture-to c
--save-frames g --capture 0:0
= filigree decode --model demo --input l
--output a.png
--output p/%d.png
--save-frames n
--output d.png
--save-frames e
= filigree encode --model demo --input f
--output n
= filigree convert t.safetensors
--output a.safetensors
--output t.safetensors
--output t.safetensors --force
END
rm b.png.json
python3 "$CLI_TESTS/refusals.py" <<'END'
= filigree generate --model demo --prompt x --threads 1 -W 32 -H 32 --frames 1 --steps 1
--output b.png
END
