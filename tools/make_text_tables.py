#!/usr/bin/env python3
"""tools/make_text_tables.py FOLDER: writes text_tables_*.c of src/io into FOLDER.

The tables behind src/io/text_clean.c: names of HTML5 (Python's html.entities), canonical
decompositions and combining classes (unicodedata), and what the ftfy package (6.3.1, Apache-2.0,
Robyn Speer) knows of text that was decoded with the wrong encoding: its expressions are taken apart
into sets of characters and sequences of sets. Needs Python 3.11 or later and ftfy.
Run by hand when one of the sources moves; the output is committed.
"""
import html
import html.entities
import re
import re._parser as regex
import sys
import unicodedata

import ftfy.bad_codecs  # noqa: F401 (registers the sloppy encodings)
from ftfy import badness, chardata

WIDTH = 100


def rows(items, indent="    "):
    """Items joined by commas, wrapped."""
    line, out = indent, []
    for item in items:
        if len(line) + len(item) + 1 > WIDTH:
            out.append(line.rstrip())
            line = indent
        line += item + ", "
    if line.strip():
        out.append(line.rstrip())
    return "\n".join(out)


def quoted(text):
    """A C string; what is not plain ASCII in octal."""
    out = ""
    for byte in text.encode("utf-8"):
        plain = 32 <= byte < 127 and chr(byte) not in '"\\?'
        out += chr(byte) if plain else "\\%03o" % byte
    return '"%s"' % out


def opening(name, what):
    return ("/* io/%s: %s\n * Written by tools/make_text_tables.py; do not edit. */\n"
            '#include "io/text_tables.h"\n\n/* clang-format off */\n' % (name, what))


def array(kind, name, items):
    return "const %s %s[] = {\n%s\n};\n" % (kind, name, rows(items))


def count(name):
    return "const size_t %s_count =\n    sizeof %s / sizeof %s[0];\n" % (name, name, name)


# ---- entities ---------------------------------------------------------------------------------

def entities(which):
    html5 = html.entities.html5
    upper = {n[1:]: c for n, c in chardata.HTML_ENTITIES.items() if n[1:] not in html5}
    assert all(chardata.HTML_ENTITIES["&" + n] == c for n, c in html5.items() if n.endswith(";"))
    text = opening("text_tables_%s.c" % which, "HTML's named characters, name=characters, sorted.")
    name, table = (("fili_text_entities_upper", upper) if which == "capitals" else
                   ("fili_text_entities", html5))
    text += array("char *const", name, [quoted(n + "=" + table[n]) for n in sorted(table)])
    text += count(name)
    if which == "capitals":
        return text
    invalid = sorted(html._invalid_charrefs.items())
    assert [n for n, _ in invalid] == [0, 13] + list(range(0x80, 0xa0))
    text += array("uint16_t", "fili_text_c1_references", [hex(ord(c)) for _, c in invalid[2:]])
    return text


# ---- normalization form C ---------------------------------------------------------------------

def nfc():
    pairs, classes = [], []
    for code in range(0x110000):
        char = chr(code)
        if 0xac00 <= code < 0xd7a4 or 0xd800 <= code < 0xe000:
            continue
        parts = unicodedata.decomposition(char)
        if parts and not parts.startswith("<"):
            numbers = [int(p, 16) for p in parts.split()] + [0]
            pairs.append((code, numbers[0], numbers[1]))
        combining = unicodedata.combining(char)
        if combining:
            if classes and classes[-1][1] == code - 1 and classes[-1][2] == combining:
                classes[-1][1] = code
            else:
                classes.append([code, code, combining])
    compose = [i for i, (code, a, b) in enumerate(pairs)
               if b and unicodedata.normalize("NFC", chr(a) + chr(b)) == chr(code)]
    compose.sort(key=lambda i: pairs[i][1:])
    text = opening("text_tables_nfc.c",
                   "canonical decompositions and combining classes of Unicode %s."
                   % unicodedata.unidata_version)
    text += array("fili_text_pair", "fili_text_decompositions",
                  ["{0x%x,0x%x,0x%x}" % p for p in pairs]) + count("fili_text_decompositions")
    text += array("uint16_t", "fili_text_compositions", [str(i) for i in compose])
    text += count("fili_text_compositions")
    text += array("fili_text_class", "fili_text_classes", ["{0x%x,0x%x,%d}" % tuple(c) for c in classes])
    return text + count("fili_text_classes")


# ---- mojibake ---------------------------------------------------------------------------------

class Sets:
    """Sets of characters as ranges in one pool; each set once."""

    def __init__(self):
        self.pool, self.sets, self.known = [], [], {}

    def add(self, codes, negated=False, word=False, space=False):
        ranges = []
        for code in sorted(codes):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
        key = (tuple(map(tuple, ranges)), negated, word, space)
        if key not in self.known:
            self.known[key] = len(self.sets)
            flags = [n for n, f in (("NEGATED", negated), ("WORD", word), ("SPACE", space)) if f]
            self.sets.append((len(self.pool), len(ranges),
                              "|".join("FILI_TEXT_" + f for f in flags) or "0"))
            self.pool += ranges
        return self.known[key]

    def of(self, operation, value):
        name = str(operation)
        if name == "LITERAL":
            return self.add({value})
        if name == "ANY":
            return self.add({10}, negated=True)
        if name == "NOT_LITERAL":
            return self.add({value}, negated=True)
        assert name == "IN", name
        codes, flags = set(), {}
        for op, v in value:
            op = str(op)
            if op == "LITERAL":
                codes.add(v)
            elif op == "RANGE":
                codes.update(range(v[0], v[1] + 1))
            elif op == "NEGATE":
                flags["negated"] = True
            else:
                assert op == "CATEGORY", op
                flags["word" if str(v) == "CATEGORY_WORD" else "space"] = True
        return self.add(codes, **flags)


def sequence(sets, items):
    """Steps {set, least, most}; the start of the text is set 255."""
    out = []
    for operation, value in items:
        name = str(operation)
        if name == "AT":
            out.append((255, 1, 1))
        elif name == "MAX_REPEAT":
            low, high, inner = value
            assert len(inner) == 1
            out.append((sets.of(*inner[0]), low, high))
        else:
            out.append((sets.of(operation, value), 1, 1))
    return out


def branches(parsed):
    assert str(parsed[0][0]) == "BRANCH"
    return parsed[0][1][1]


def mojibake():
    sets = Sets()
    expressions = {}
    for name, compiled in (("bad", badness.BADNESS_RE), ("altered", chardata.ALTERED_UTF8_RE),
                           ("lossy", chardata.LOSSY_UTF8_RE)):
        parsed = regex.parse(compiled.pattern, compiled.flags & re.VERBOSE)
        expressions[name] = [sequence(sets, b) for b in branches(parsed)]
    detector = regex.parse(chardata.UTF8_DETECTOR_RE.pattern, re.VERBOSE)
    (behind, before), (repeat, body) = detector
    assert (str(behind), before[0], str(repeat), body[0]) == ("ASSERT_NOT", -1, "MAX_REPEAT", 1)
    strict = sets.of(*before[1][0])
    expressions["utf8"] = [sequence(sets, b) for b in branches(body[2][0][1][3])]

    text = opening("text_tables_mojibake.c",
                   "what text looks like that was decoded with the wrong encoding,\n"
                   " * after ftfy %s (Apache-2.0); encodings, widths, ligatures." % "6.3.1")
    text += array("fili_text_range", "fili_text_ranges", ["{0x%x,0x%x}" % tuple(r) for r in sets.pool])
    text += array("fili_text_set", "fili_text_sets", ["{%d,%d,%s}" % s for s in sets.sets])
    text += "const uint8_t fili_text_strict_set = %d;\n" % strict
    for name, sequences in expressions.items():
        items = []
        for s in sequences:
            items.append("{%d, {%s}}" % (len(s), ", ".join("{%d,%d,%d}" % step for step in s)))
        text += array("fili_text_sequence", "fili_text_" + name, items) + count("fili_text_" + name)
    words = Sets()
    words.add({c for c in range(0x110000) if chr(c).isalnum() or c == 0x5f})
    text += array("fili_text_range", "fili_text_words", ["{0x%x,0x%x}" % tuple(r) for r in words.pool])
    text += count("fili_text_words")
    maps = []
    for encoding in chardata.CHARMAP_ENCODINGS:
        codes = [ord(c) for c in bytes(range(0x80, 0x100)).decode(encoding)]
        maps.append('{"%s", %d, {\n%s\n    }}' % (encoding, encoding.startswith("sloppy"),
                                            rows(["0x%x" % c for c in codes], "        ")))
    text += "const fili_text_charmap fili_text_charmaps[] = {\n    %s\n};\n" % ",\n    ".join(maps)
    text += count("fili_text_charmaps")
    ascii_forms = range(0xff01, 0xff5f)
    assert all(chardata.WIDTH_MAP[c] == chr(c - 0xfee0) for c in ascii_forms)
    replaced = {c: t for c, t in chardata.WIDTH_MAP.items() if c not in ascii_forms}
    assert not set(replaced) & set(chardata.LIGATURES)
    text += array("fili_text_replacement", "fili_text_ligatures",
                  ["{0x%x, %s}" % (c, quoted(t)) for c, t in sorted(chardata.LIGATURES.items())])
    text += count("fili_text_ligatures")
    text += array("fili_text_replacement", "fili_text_widths",
                  ["{0x%x, %s}" % (c, quoted(t)) for c, t in sorted(replaced.items())])
    return text + count("fili_text_widths")


FILES = {"entities": lambda: entities("entities"), "capitals": lambda: entities("capitals"),
         "nfc": nfc, "mojibake": mojibake}


def main(argv):
    if len(argv) != 2:
        print("usage: make_text_tables.py FOLDER", file=sys.stderr)
        return 2
    for name, make in FILES.items():
        with open("%s/text_tables_%s.c" % (argv[1], name), "w", encoding="ascii") as f:
            f.write(make())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
