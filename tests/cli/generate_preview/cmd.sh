# A small picture every K steps and at the end; the video is the same; what exists is replaced.
. "$CLI_TESTS/inputs.sh"
demo_model demo
run='filigree generate -m demo -p x -W 128 -H 64 --frames 33 --steps 5 --threads 1 -q'
$run --save-frames a || exit 1
: >b.preview.png
$run --save-frames b --preview 2 || exit 1
cmp a b || exit 1
python3 - <<'END'
import struct
head = open("b.preview.png", "rb").read(24)
assert head[:8] == b"\x89PNG\r\n\x1a\n"
print("%d x %d" % struct.unpack(">II", head[16:24]))
END
for value in 0 -1 x 1001 2s; do
    $run --save-frames c --preview $value
    echo "exit $?"
done
mkdir d.preview.png
$run --save-frames d --preview 2
echo "exit $?"
$run --save-frames e --preview 2 --recipe x
ls
