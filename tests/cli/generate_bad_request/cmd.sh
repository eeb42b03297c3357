# Values that do not fit each other or the model: found before any work.
. "$CLI_TESTS/inputs.sh"
demo_model demo
refused() {
    filigree generate -m demo -p x --steps 1 "$@"
    test $? = 2 || exit 1
}
refused -o a.mp4 -W 100
refused -o a.mp4 -H 100
refused -o a.mp4 --frames 6
refused -o a.avi
refused -o a
refused -o a.png -W 32 -H 32 --frames 5
refused -o a.mp4 --timesteps 900,950
refused -o a.mp4 --timesteps 900,500
refused -o a.mp4 --sigmas 2
refused -o a.mp4 --sigmas 0.9 --grid wan-dpm
refused -o a.mp4 --sigmas 0.9 --timesteps 900
refused -o a.mp4 --save-latents a.mp4
refused --save-frames f --save-latents .//f
mkdir out
ln -s out link
refused --save-frames out/f --save-latents link/f
refused --save-frames out/../f --save-latents f
rm link
rmdir out
refused -o a.mp4 --save-latents l.mp4
refused --save-noise n.webm -o a.mp4
refused --save-frames f.png
ls
