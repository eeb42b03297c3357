/* io/text_tables.h: the tables of text_clean.c, written by tools/make_text_tables.py. */
#ifndef FILI_IO_TEXT_TABLES_H
#define FILI_IO_TEXT_TABLES_H

#include <stddef.h>
#include <stdint.h>

/* ---- entities ------------------------------------------------------------------------------- */

/* "name=characters" in UTF-8, sorted by name; the name as it stands in HTML, with its semicolon if
 * it has one. The second table: further names in capitals that ftfy knows. */
extern const char *const fili_text_entities[];
extern const size_t      fili_text_entities_count;
extern const char *const fili_text_entities_upper[];
extern const size_t      fili_text_entities_upper_count;
extern const uint16_t    fili_text_c1_references[]; /* what &#128; .. &#159; mean */

/* ---- normalization -------------------------------------------------------------------------- */

typedef struct fili_text_pair {
    uint32_t code, first, second; /* second == 0: a singleton */
} fili_text_pair;

typedef struct fili_text_class {
    uint32_t first, last;
    uint8_t  combining;
} fili_text_class;

extern const fili_text_pair  fili_text_decompositions[]; /* by code */
extern const size_t          fili_text_decompositions_count;
extern const uint16_t        fili_text_compositions[]; /* indices of them, by (first, second) */
extern const size_t          fili_text_compositions_count;
extern const fili_text_class fili_text_classes[];
extern const size_t          fili_text_classes_count;

/* ---- mojibake ------------------------------------------------------------------------------- */

typedef struct fili_text_range {
    uint32_t first, last;
} fili_text_range;

enum { FILI_TEXT_NEGATED = 1, FILI_TEXT_WORD = 2, FILI_TEXT_SPACE = 4 };

/* Ranges of the pool; WORD and SPACE add letters and digits, or white space. */
typedef struct fili_text_set {
    uint16_t first, count;
    uint8_t  flags;
} fili_text_set;

#define FILI_TEXT_START 255 /* instead of a set: the start of the text */

typedef struct fili_text_step {
    uint8_t set, least, most;
} fili_text_step;

typedef struct fili_text_sequence {
    uint8_t        n;
    fili_text_step step[8];
} fili_text_sequence;

typedef struct fili_text_charmap {
    const char *name;
    int         sloppy;     /* byte 1a stands for U+FFFD */
    uint16_t    upper[128]; /* of bytes 80 .. ff */
} fili_text_charmap;

typedef struct fili_text_replacement {
    uint32_t    code;
    const char *text;
} fili_text_replacement;

extern const fili_text_range       fili_text_ranges[];
extern const fili_text_set         fili_text_sets[];
extern const uint8_t               fili_text_strict_set; /* may not precede fili_text_utf8 */
extern const fili_text_sequence    fili_text_bad[], fili_text_altered[], fili_text_lossy[];
extern const fili_text_sequence    fili_text_utf8[];
extern const size_t                fili_text_bad_count, fili_text_altered_count;
extern const size_t                fili_text_lossy_count, fili_text_utf8_count;
extern const fili_text_range       fili_text_words[];
extern const size_t                fili_text_words_count;
extern const fili_text_charmap     fili_text_charmaps[]; /* the first is latin-1 */
extern const size_t                fili_text_charmaps_count;
extern const fili_text_replacement fili_text_ligatures[], fili_text_widths[];
extern const size_t                fili_text_ligatures_count, fili_text_widths_count;

#endif
