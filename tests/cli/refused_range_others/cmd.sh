# Values out of range, of the other verbs.
. "$CLI_TESTS/inputs.sh"
python3 "$CLI_TESTS/refusals.py" <<'END'
= filigree decode --model none --input none --output a.png
--fps 0
--fps 1001
--crf 0
--crf 101
--preset none
--precision q8_0
--threads 0
--threads 1025
--max-memory 1X
--device cuda:64
--max-vram 0
= filigree encode --model none --input none --output l
--frames 0
--frames 100002
--precision f16
--threads 0
--threads 1025
--max-memory -1
--device cpu:0
--max-vram 1M
= filigree info none
--threads 0
--threads 1025
--max-memory 0
--device gpu
--max-vram 1M
= filigree convert none --output a.gguf
--type q2_k
--names short
--threads 0
--threads 1025
--max-memory 0
--device gpu
--max-vram 1M
END
