/* wan/names_vae.c: tensor names of the VAE: original names alone. */
#include <stdio.h>

#include "wan/weights.h"

int fili_names_vae(const char *file_name, char *out, size_t size)
{
    snprintf(out, size, "%s", file_name);
    return 1;
}
