/* base/text.h: how a text begins and ends. */
#ifndef FILI_BASE_TEXT_H
#define FILI_BASE_TEXT_H

#include <stdbool.h>
#include <string.h>

static inline bool fili_begins_with(const char *text, const char *begin)
{
    return strncmp(text, begin, strlen(begin)) == 0;
}

static inline bool fili_ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text);
    const size_t m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

#endif
