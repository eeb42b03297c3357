# Files that are not there, of generate.
. "$CLI_TESTS/inputs.sh"
demo_model demo
python3 "$CLI_TESTS/refusals.py" <<'END'
= filigree generate --prompt x --threads 1 --save-latents l
--model none
= filigree generate --model demo --prompt x --threads 1 -W 32 -H 32 --frames 1 --steps 1
--save-frames f --dit none
--save-frames f --t5 none
--save-frames f --vae none
--save-frames f --tokenizer none
--save-frames f --noise none
--save-frames f --mask none
--save-frames f --attn west --topology none
--output no/a.png
--output no/such/%d.png
--save-noise no/n --save-frames f
--save-latents no/l
--save-frames no/f
--save-frames f --capture 0:0 --capture-to no/such
= filigree generate --model demo --threads 1
--prompt-file none --save-latents l
--resume none
--recipe none --save-latents l
END
