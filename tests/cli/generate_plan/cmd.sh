# What a run would be, and nothing is written.
. "$CLI_TESTS/inputs.sh"
demo_model demo
plan() {
    filigree generate -m demo -p "a red fox" --plan --save-frames f --threads 1 "$@"
}
plan | grep -v -e '^  ' -e '^kernels' -e '^time' || exit 1
plan --cfg 1 --sampler dpmpp | grep -e sampler -e prompts
plan --sampler dmd | grep sampler
plan --preset diffusers -W 1280 -H 720 --steps 4 | grep sampler
plan --timesteps 1000,937.5,833.3,625 --cfg 1 | grep sampler
ls
