# tests/cli/inputs.sh: small model files for the cases, made with printf. Source it.
# It makes files and checks nothing: whether a file is good is the program's business.

# le64 N: N < 2^32 as eight bytes, least significant first.
le64() {
    printf "$(printf '\\%03o\\%03o\\%03o\\%03o\\000\\000\\000\\000' \
        $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255)))"
}

# st FILE HEADER BYTES: a safetensors file with that header and so many bytes of zero.
st() {
    le64 "$(printf %s "$2" | wc -c)" >"$1"
    printf %s "$2" >>"$1"
    head -c "$3" /dev/zero >>"$1"
}

# two FILE: a matrix and a vector, 40 bytes of data.
two() {
    weight='"a.weight":{"dtype":"F32","shape":[2,4],"data_offsets":[0,32]}'
    bias='"a.bias":{"dtype":"BF16","shape":[4],"data_offsets":[32,40]}'
    st "$1" "{$weight,$bias}" 40
}

# one FILE NAME: a single byte under that name.
one() {
    st "$1" "{\"$2\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}" 1
}

# sharded FOLDER: two shards and their index, model.safetensors.index.json.
sharded() {
    mkdir -p "$1"
    one "$1/model-00001-of-00002.safetensors" x
    one "$1/model-00002-of-00002.safetensors" y
    printf '{"metadata":{"total_size":2},"weight_map":{"x":"%s","y":"%s"}}' \
        model-00001-of-00002.safetensors model-00002-of-00002.safetensors \
        >"$1/model.safetensors.index.json"
}

# many FILE N: N one-byte tensors, more than a pipe holds from N = 5000 on.
many() {
    header=$(awk -v n="$2" 'BEGIN {
        printf "{"
        for (i = 0; i < n; i++)
            printf "%s\"blocks.%05d.weight\":{\"dtype\":\"U8\",\"shape\":[1],%s:[%d,%d]}",
                (i ? "," : ""), i, "\"data_offsets\"", i, i + 1
        printf "}"
    }')
    st "$1" "$header" "$2"
}

# flip FILE MASK: those bits of its last byte.
flip() {
    python3 - "$1" "$2" <<'PYTHON'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(-1, 2)
    last = f.read(1)
    f.seek(-1, 2)
    f.write(bytes([last[0] ^ int(sys.argv[2])]))
PYTHON
}

# demo_model FOLDER: the checkpoint that make_demo writes, which lies beside the program in a build.
demo_model() {
    "$(dirname "$PROGRAM")/../models/make_demo" "$1" || {
        echo "no make_demo beside $PROGRAM" >&2
        exit 77
    }
}
