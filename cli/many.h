/* cli/many.h: generate --prompt-file: one video for each line of a file, in one load of the model.
 * Each has outputs of its own: the names of -o and of the others, with the number of the prompt
 * before the ending (fox.mp4: fox-001.mp4), or where a name stands for a picture of each frame,
 * behind the folder (frames/%05d.png: frames-001/%05d.png).
 */
#ifndef CLI_MANY_H
#define CLI_MANY_H

#include "filigree/video.h"
#include "verb.h"

typedef struct cli_many_how {
    const char *prompt_file;
    int         resumes; /* what stands is left alone, what was begun goes on */
    int         saves;   /* checkpoints lie beside the outputs */
    int         plan, json;

    void (*tell_plan)(const cli_call *call, const fil_plan *plan);
} cli_many_how;

/* base: all options but the prompt; its outputs are those to be numbered. Returns the exit code. */
int cli_generate_many(const cli_call *call, fil_ctx *ctx, fil_model *model,
                      const fil_generate_options *base, const cli_many_how *how);

/* "a/fox.mp4" and 7 of 12: "a/fox-007.mp4"; "a/%d.png": "a-007/%d.png", "%d.png": "007/%d.png". 0:
 * more than `size` bytes. */
int cli_numbered(char *out, size_t size, const char *path, int32_t number, int32_t n);

#endif
