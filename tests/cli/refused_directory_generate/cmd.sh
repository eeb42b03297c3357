# Directories where files are meant, and files where folders are, of generate.
. "$CLI_TESTS/inputs.sh"
demo_model demo
mkdir d d.png r.png r.png.json c.png c.png.resume.safetensors p p/1.png
echo text >file
python3 "$CLI_TESTS/refusals.py" <<'END'
= filigree generate --prompt x --threads 1 --save-latents l
--model file
--model d
= filigree generate --model demo --prompt x --threads 1 -W 32 -H 32 --frames 1 --steps 1
--save-frames f --dit d
--save-frames f --t5 d
--save-frames f --vae d
--save-frames f --tokenizer d
--save-frames f --noise d
--save-frames f --mask d
--save-frames f --attn west --topology d
--output d.png
--output d.png --force
--output d/
--output file/%d.png
--save-noise d --save-frames f
--save-latents d
--save-latents d --force
--save-frames d
--save-frames d --force
--save-frames f --capture 0:0 --capture-to file
--save-frames file/f
= filigree generate --model demo --prompt x --threads 1 -W 32 -H 32 --steps 1 --frames 5
--output p/%d.png --force
= filigree generate --model demo --threads 1
--prompt-file d --save-latents l
--resume d
--recipe d --save-latents l
END
rmdir r.png c.png
python3 "$CLI_TESTS/refusals.py" <<'END'
= filigree generate --model demo --prompt x --threads 1 -W 32 -H 32 --frames 1 --steps 1 --force
--output r.png
--output c.png
END
