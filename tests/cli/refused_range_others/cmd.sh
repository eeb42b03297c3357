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
= filigree encode --model none --input none --output l
--frames 0
--frames 100002
--precision f16
--threads 0
--threads 1025
--max-memory -1
= filigree info none
--threads 0
--threads 1025
--max-memory 0
= filigree convert none --output a.gguf
--type q2_k
--names short
--threads 0
--threads 1025
--max-memory 0
END
