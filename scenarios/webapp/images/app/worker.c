/* The application's helper program: thumbnails of PPM photos, reports on the item folder, checksums.
 *
 *   worker --job thumbnail --id N --size WxH --input FILE --output FILE
 *   worker --job report    --id N --format text|csv --input FOLDER
 *   worker --job checksum  --id N --input FILE
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *option(int argc, char **argv, const char *name)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return argv[i + 1];
    return NULL;
}

static int fail(const char *what)
{
    fprintf(stderr, "worker: %s\n", what);
    return 2;
}

/* Nearest-neighbour reduction of a binary PPM (P6, 8 bits). */
static int thumbnail(const char *size, const char *input, const char *output)
{
    int to_width, to_height, width, height, max;

    if (!size || !input || !output || sscanf(size, "%dx%d", &to_width, &to_height) != 2)
        return fail("thumbnail needs --size WxH --input FILE --output FILE");
    FILE *in = fopen(input, "rb");
    if (!in)
        return fail("cannot open the input");
    if (fscanf(in, "P6 %d %d %d", &width, &height, &max) != 3 || max != 255 || width < 1 || height < 1 ||
        width > 4096 || height > 4096 || to_width < 1 || to_height < 1 || to_width > 4096 || to_height > 4096)
        return fail("not a PPM of a sensible size");
    fgetc(in);
    size_t length = (size_t)width * height * 3;
    unsigned char *pixels = malloc(length);
    if (!pixels || fread(pixels, 1, length, in) != length)
        return fail("the input is too short");
    fclose(in);

    FILE *out = fopen(output, "wb");
    if (!out)
        return fail("cannot open the output");
    fprintf(out, "P6 %d %d 255\n", to_width, to_height);
    for (int y = 0; y < to_height; y++)
        for (int x = 0; x < to_width; x++)
            fwrite(pixels + ((size_t)(y * height / to_height) * width + x * width / to_width) * 3, 1, 3, out);
    free(pixels);
    return fclose(out) == 0 ? 0 : fail("cannot write the output");
}

/* How many files a folder holds, and how many bytes. */
static int report(const char *format, const char *input)
{
    DIR *folder = input ? opendir(input) : NULL;
    long files = 0, bytes = 0;
    struct dirent *entry;
    struct stat info;
    char path[4096];

    if (!folder)
        return fail("report needs --input FOLDER");
    while ((entry = readdir(folder))) {
        snprintf(path, sizeof(path), "%s/%s", input, entry->d_name);
        if (stat(path, &info) == 0 && S_ISREG(info.st_mode)) {
            files++;
            bytes += info.st_size;
        }
    }
    closedir(folder);
    printf(format && strcmp(format, "csv") == 0 ? "%ld,%ld\n" : "files %ld bytes %ld\n", files, bytes);
    return 0;
}

/* FNV-1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/ */
static int checksum(const char *input)
{
    FILE *in = input ? fopen(input, "rb") : NULL;
    unsigned long long hash = 0xcbf29ce484222325ULL;
    int byte;

    if (!in)
        return fail("checksum needs --input FILE");
    while ((byte = fgetc(in)) != EOF)
        hash = (hash ^ (unsigned char)byte) * 0x100000001b3ULL;
    fclose(in);
    printf("%016llx\n", hash);
    return 0;
}

int main(int argc, char **argv)
{
    const char *job = option(argc, argv, "--job"), *input = option(argc, argv, "--input");

    if (job && strcmp(job, "thumbnail") == 0)
        return thumbnail(option(argc, argv, "--size"), input, option(argc, argv, "--output"));
    if (job && strcmp(job, "report") == 0)
        return report(option(argc, argv, "--format"), input);
    if (job && strcmp(job, "checksum") == 0)
        return checksum(input);
    return fail("--job thumbnail, report or checksum");
}
