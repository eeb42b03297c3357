# Pictures and videos that are none, and texts in them that would move a terminal's cursor.
. "$CLI_TESTS/inputs.sh"
python3 - <<'END'
import struct, zlib
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
def png(*texts):
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">II", 3, 4) + b"\x08\x02\0\0\0") +
            b"".join(chunk(b"tEXt", t) for t in texts) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
open("evil.png", "wb").write(png(b"Software\0\x1b[2Jfiligree", b"Description\0a\r\x9b31m",
                                 b"Comment\0" + b"x" * 500))
open("settings.png", "wb").write(png(b'Comment\0{"filigree":"1","generate":{"\\u001b[31mk":"\\u001b[0mv","list":[1,2]}}'))
open("cut.png", "wb").write(png()[:40])
open("cut.webp", "wb").write(b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0")
open("head.mp4", "wb").write(b"\0\0\0\x18ftypisom")
END
for name in evil settings cut; do
    filigree info $name.png
    echo "exit $?"
done
filigree info evil.png -v | grep -c "x\{500\}"
filigree info settings.png --json
filigree info cut.webp
echo "exit $?"
filigree info head.mp4 2>&1 | grep -c 'head.mp4\|need the plug-in'
filigree info cut.png --json
echo "exit $?"
