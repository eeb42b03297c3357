/* models/demo_tokenizer.h: the tokenizer of the demo checkpoint: a sentencepiece model of the
 * unigram type with the special pieces of UMT5, single characters and some words.
 */
#ifndef MODELS_DEMO_TOKENIZER_H
#define MODELS_DEMO_TOKENIZER_H

/* Rows of the text encoder's table: a little more than the tokenizer has pieces. */
enum { DEMO_VOCABULARY = 192 };

/* 0, or -1 after saying why on stderr. */
int demo_write_tokenizer(const char *path);

#endif
