/* engine/text_cache.h: rows of prompts that were encoded before, in files.
 *
 * A folder of small safetensors files, KEY.safetensors: `rows` f32 [n, text_dim], and in the
 * metadata the key and the SHA-256 of the rows. The key is a SHA-256 over all that the rows' bits
 * hang on: the token ids, the precision, the text encoder, and how this program computes here.
 *
 * Which encoder it is, is told without opening it: by device, inode, size and the times of its last
 * writing and last change, of each of its files. A program can set the former time, but the latter
 * is the kernel's, which moves it on every write, so that an encoder whose bytes have changed has
 * another key. What is only copied, moved or linked has one too, and is encoded anew: that costs
 * time and nothing else. How it computes: the version, the instruction set, the device, and the
 * rows of a miniature that is encoded on the spot (fili_umt5_fingerprint).
 *
 * Nothing here fails: a file that is damaged or foreign, or a folder that cannot be written, is
 * told in the log. Files that were written first are removed when all together pass
 * FILI_TEXT_CACHE_MOST.
 */
#ifndef FILI_ENGINE_TEXT_CACHE_H
#define FILI_ENGINE_TEXT_CACHE_H

#include "engine/video_job.h"

#define FILI_TEXT_CACHE_MOST ((uint64_t)256 << 20)

/* Gives prompts their rows, n and cut where the folder has them. */
void fili_text_cache_look(fili_job *job);

/* When all prompts have rows: writes those that were encoded. */
void fili_text_cache_keep(fili_job *job);

#endif
