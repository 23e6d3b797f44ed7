/* Says when a folder was last packed. Set-user-id root so that it may look everywhere, and vulnerable on purpose: it calls
 * `date` by name, so its caller's PATH decides what runs as root.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct stat info;

    if (argc != 2 || stat(argv[1], &info) != 0)
        return 2;
    (void)!setgid(0);
    (void)!setuid(0);
    printf("%s changed %ld\n", argv[1], (long)info.st_mtime);
    fflush(stdout);
    return system("date -u +%s") != 0;
}
