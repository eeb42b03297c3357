# Values that no model could make good: wrong usage, one sentence, and no file is looked for.
refused() {
    filigree generate -m none -p x -o a.mp4 "$@"
    test $? = 2 || exit 1
}
refused --steps 0
refused --steps 1001
refused --steps ten
refused -W 0
refused --frames -1
refused --crf 101
refused --fps 0
refused --shift 0
refused --shift -1
refused --cfg 1e3
refused --seed -1
refused --sampler heun
refused --grid karras
refused --preset comfy
refused --precision f16
refused --timesteps 1000,
refused --timesteps 1000,abc
refused --sigmas ''
refused --timestep 5
refused --checkpoint-every 0x5
