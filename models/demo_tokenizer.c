/* models/demo_tokenizer.c: writes spiece.model by hand (demo_tokenizer.h). The file is a protobuf
 * message (github.com/google/sentencepiece, src/sentencepiece_model.proto): pieces with scores, the
 * numbers of the special ones, and how texts are normalised (here: not at all). Training one would
 * need that library; a dozen fields do not.
 */
#include <errno.h>
#include <stdio.h>
#include <stdint.h>
#include <string.h>

#include "demo_tokenizer.h"

/* What a piece is for, as the format numbers it. */
enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3 };

#define SPACE "\xe2\x96\x81" /* U+2581, which stands for a blank before a word */

static const char *const words[] = {"a",        "the",    "red",   "orange", "yellow", "green",
                                    "blue",     "purple", "white", "black",  "circle", "square",
                                    "triangle", "moves",  "over",  "to",     "left",   "right",
                                    "up",       "down",   "snow",  "field",  "fox",    "in",
                                    "of",       "and",    "is",    "camera", "water",  "light"};

/* A message under construction. The largest part is a piece of some twenty bytes. */
typedef struct message {
    unsigned char data[256];
    size_t        n;
} message;

static void put_number(message *m, uint64_t value)
{
    for (; value >= 128; value >>= 7)
        m->data[m->n++] = (unsigned char)(value & 127) | 128;
    m->data[m->n++] = (unsigned char)value;
}

static void put_int(message *m, unsigned field, uint64_t value)
{
    put_number(m, (uint64_t)field << 3);
    put_number(m, value);
}

static void put_float(message *m, unsigned field, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_number(m, (uint64_t)field << 3 | 5);
    for (int i = 0; i < 4; i++)
        m->data[m->n++] = (unsigned char)(bits >> (8 * i));
}

static void put_bytes(message *m, unsigned field, const void *bytes, size_t n)
{
    put_number(m, (uint64_t)field << 3 | 2);
    put_number(m, n);
    memcpy(m->data + m->n, bytes, n);
    m->n += n;
}

/* Writes `part` as field `field` of the file's own message. */
static int write_part(FILE *f, unsigned field, const message *part)
{
    message head = {.n = 0};
    put_number(&head, (uint64_t)field << 3 | 2);
    put_number(&head, part->n);
    return fwrite(head.data, 1, head.n, f) == head.n && fwrite(part->data, 1, part->n, f) == part->n
               ? 0
               : -1;
}

static int write_piece(FILE *f, const char *text, float score, int type)
{
    message piece = {.n = 0};
    put_bytes(&piece, 1, text, strlen(text));
    put_float(&piece, 2, score);
    put_int(&piece, 3, (uint64_t)type);
    return write_part(f, 1, &piece);
}

/* Special pieces, the blank, printable ASCII, words with the blank before them. */
static int write_pieces(FILE *f)
{
    char text[32];
    int  bad = write_piece(f, "<pad>", 0.0f, CONTROL) | write_piece(f, "</s>", 0.0f, CONTROL) |
              write_piece(f, "<s>", 0.0f, CONTROL) | write_piece(f, "<unk>", 0.0f, UNKNOWN) |
              write_piece(f, SPACE, -3.0f, NORMAL);
    for (int c = 33; c < 127; c++) {
        snprintf(text, sizeof text, "%c", c);
        bad |= write_piece(f, text, -6.0f, NORMAL);
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        snprintf(text, sizeof text, SPACE "%s", words[i]);
        bad |= write_piece(f, text, -4.0f, NORMAL);
    }
    return bad;
}

static int write_settings(FILE *f)
{
    message trainer    = {.n = 0};
    message normalizer = {.n = 0};
    put_int(&trainer, 3, 1);  /* model_type: unigram */
    put_int(&trainer, 40, 3); /* unk_id, bos_id, eos_id, pad_id */
    put_int(&trainer, 41, 2);
    put_int(&trainer, 42, 1);
    put_int(&trainer, 43, 0);
    put_bytes(&normalizer, 1, "identity", 8);
    put_int(&normalizer, 3, 1); /* a blank is put before the text, several become one, */
    put_int(&normalizer, 4, 1); /* and blanks are written as U+2581 */
    put_int(&normalizer, 5, 1);
    return write_part(f, 2, &trainer) | write_part(f, 3, &normalizer);
}

int demo_write_tokenizer(const char *path)
{
    FILE *f = fopen(path, "wb");
    if (f != NULL) {
        const int bad = write_pieces(f) | write_settings(f);
        if (fclose(f) == 0 && bad == 0) return 0;
    }
    fprintf(stderr, "make_demo: cannot write '%s': %s\n", path, strerror(errno));
    return -1;
}
