# A prompt is encoded once; where encodings lie, and that they may lie nowhere.
. "$CLI_TESTS/inputs.sh"
demo_model demo
unset XDG_CACHE_HOME
say() {
    filigree generate -m demo -p fox -W 32 -H 32 --frames 1 --steps 1 --threads 1 \
        --save-latents l.safetensors --force "$@" 2>err || { cat err >&2; exit 1; }
}
say --plan | grep prompts
say; cp l.safetensors first.safetensors
ls .cache/filigree/text | wc -l
say --plan | grep prompts
say --plan --json | grep -o '"text_cached":[0-9]*'
say; cmp l.safetensors first.safetensors && echo same
say --plan -n rain | grep prompts
XDG_CACHE_HOME=$PWD/xdg say; ls xdg/filigree
say --text-cache here; ls here | wc -l
HOME= say --plan | grep prompts
say --text-cache off --plan | grep prompts
# One that is damaged is told of once, and written anew.
for file in .cache/filigree/text/*; do : >"$file"; done
say; grep -c 'cache of text encodings' err
say; grep -c 'cache of text encodings' err
cmp l.safetensors first.safetensors && echo same
