#!/usr/bin/env python3
"""tools/make_golden_tokenizer.py FOLDER: a small tokenizer and the ids that the reference gives.

Writes spiece.model (unigram, byte fallback, a few character replacements), tokenizer_config.json
and prompts.json: what was typed, what the official cleaning makes of it (ftfy, html), and the ids of
the `tokenizers` library, set up as transformers 4 does for T5. Tests that have no outside fixtures
compare with it. Needs the packages sentencepiece, tokenizers, ftfy, protobuf.
"""
import html
import io
import json
import os
import re
import sys
import tempfile

import ftfy
import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers import processors

EXTRA = 5
RULES = {"\u2460": "1", "\u2167": "VIII", "\u33a1": "m2", "\u00bd": "1\u20442", "\u2026": "...",
         "\u200b": " ", "\u2100": "a/c"}
CORPUS = """A red circle moves over the table. The camera pans slowly to the left.
A green cube spins, then stops. Two cats run across a snowy field.
An old man sits by the window and reads; it is almost night.
Café près de la forêt. Der große Würfel dreht sich. Красный круг движется.
一只猫在草地上奔跑，镜头缓缓推进。夜晚的城市灯光闪烁。""".splitlines() * 20
PROMPTS = [
    "A red circle moves over the table.", "", "   \t\n", "  leading and trailing  ",
    "runs\u00a0 of \u3000space\tand\r\nlines\u2028here", "Tom &amp; Jerry &lt;3 &#233;t&eacute; &amp;amp;",
    "P&EACUTE;REZ &notit; &copy &#x1F600; &#150; &#0; &bogus;", "一只猫，（４Ｋ）：“很美！”",
    "\u201cCurly\u201d \u2018quotes\u2019 \u2014 the \ufb01nal o\ufb03ce\u2026 \u00bd \u2460 \u33a1 \u2167",
    "bell\x07 esc\x1b[31mred\x1b[0m zero\u200bwidth \ufeffbom \ufffd del\x7f soft\u00adhyphen",
    "A caf\u00c3\u00a9 in M\u00c3\u00bcnchen \u00e2\u20ac\u201c na\u00c3\u00afve",
    "voil\u00c3\u00a0 le travail, \u00c3 la carte", "\u00d0\u0161\u00d1\u20ac\u00d1\u0192\u00d0\u00b3",
    "\u00e2\u20ac\u0153like this\u00e2\u20ac\ufffd", "sch\u00c3\u0192\u00c2\u00b6n", "\u0093quoted\u0094",
    "Cafe\u0301 fore\u0302t \u1100\u1161\u11a8 \uff76\uff9e", "cat \U0001f408 jumps \U0001f389\U0001f389!",
    "end </s> then <pad> and <extra_id_3> and <unk> <s> stop", "<extra_id_0><extra_id_1>x  <extra_id_9>",
    "\u16a0\u16a2 \u10e5\u10d0 \ud55c\uad6d\uc5b4", "<b>&amp;</b>\n&amp;", "a.b,c;d:e!f?g(h)[i]{j}",
    "the cat and the table " * 120, "灯光" * 400,
]


def clean(text):
    text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    return re.sub(r"\s+", " ", text).strip()


def train():
    model = io.BytesIO()
    # The name of the file of rules is kept in the model: so it is the same everywhere.
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with open("rules.tsv", "w", encoding="utf-8") as rules:
            for code, text in RULES.items():
                rules.write("%X\t%s\n" % (ord(code), " ".join("%X" % ord(c) for c in text)))
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(CORPUS), model_writer=model, vocab_size=360, model_type="unigram",
            byte_fallback=True, pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>",
            eos_piece="</s>", bos_piece="<s>", unk_piece="<unk>", character_coverage=0.995,
            normalization_rule_tsv="rules.tsv", num_threads=1, minloglevel=2)
        os.chdir(here)
    return model.getvalue()


def reference(model):
    from sentencepiece import sentencepiece_model_pb2 as pb
    proto = pb.ModelProto.FromString(model)
    vocab = [(p.piece, p.score) for p in proto.pieces]
    extra = ["<extra_id_%d>" % (EXTRA - 1 - i) for i in range(EXTRA)]
    t = Tokenizer(models.Unigram(vocab + [(e, 0.0) for e in extra], unk_id=3, byte_fallback=False))
    t.normalizer = normalizers.Sequence([
        normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap),
        normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "\u2581")])
    t.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    t.decoder = decoders.Metaspace()
    t.post_processor = processors.TemplateProcessing(single=["$A", "</s>"],
                                                     special_tokens=[("</s>", 1)])
    added = ["<pad>", "</s>", "<s>", "<unk>"] + extra
    t.add_special_tokens([AddedToken(a, normalized=False) for a in added])
    t.enable_truncation(512)
    return t, {str(t.token_to_id(a)): {"content": a, "normalized": False, "special": True}
               for a in added}


def main(argv):
    if len(argv) != 2:
        print("usage: make_golden_tokenizer.py FOLDER", file=sys.stderr)
        return 2
    model = train()
    tokenizer, added = reference(model)
    prompts = [{"text": p, "cleaned": clean(p), "ids": tokenizer.encode(clean(p)).ids} for p in PROMPTS]
    os.makedirs(argv[1], exist_ok=True)
    with open(os.path.join(argv[1], "spiece.model"), "wb") as f:
        f.write(model)
    for name, value in (("tokenizer_config.json", {"added_tokens_decoder": added}),
                        ("prompts.json", prompts)):
        with open(os.path.join(argv[1], name), "w", encoding="ascii") as f:
            lines = ",\n".join(json.dumps(v) for v in value) if name == "prompts.json" else None
            f.write("[\n%s\n]\n" % lines if lines else json.dumps(value, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
