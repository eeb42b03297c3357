# Folders that cannot be written: said before any work, and nothing is left anywhere.
. "$CLI_TESTS/inputs.sh"
demo_model demo
two t.safetensors
st l '{"latents":{"dtype":"F32","shape":[16,1,2,2],"data_offsets":[0,256]}}' 256
st f '{"frames":{"dtype":"U8","shape":[1,16,16,3],"data_offsets":[0,768]}}' 768
mkdir ro w
chmod 711 .. # of the runner, so that nobody gets through
chmod 755 .
chmod 777 w
chmod 555 ro
python3 "$CLI_TESTS/refusals.py" --nobody <<'END'
= filigree generate --model demo --prompt x --text-cache off --threads 1 -W 32 -H 32 --frames 1 --steps 1
--output ro/a.png
--output ro/a.y4m
--output ro/%d.png
--output ro/p/%d.png
--save-noise ro/n --save-frames w/f
--save-latents ro/l --save-frames w/f
--save-frames ro/f
--save-frames w/f --capture 0:0 --capture-to ro
--save-frames w/f --capture 0:0 --capture-to ro/c
= filigree decode --model demo --input l
--output ro/a.png
--save-frames ro/f
--output ro/a.png --save-frames w/f
= filigree encode --model demo --input f
--output ro/l
= filigree convert t.safetensors
--output ro/a.safetensors
--output ro/a.safetensors --force
END
