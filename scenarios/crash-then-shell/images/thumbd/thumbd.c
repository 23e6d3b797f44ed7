/* A small image service on port 7000: a process per connection reads "LENGTH\n" and so many bytes, keeps them for a moment in
 * /srv/spool, and answers with their sum.
 *
 * A stand-in for memory corruption: bytes that begin with CRASH make it follow a null pointer, as a failed exploit does; bytes
 * that begin with RUN: are a command for a shell, as a successful one's are. There is no overflow to exploit.
 */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT 7000
#define LARGEST 65536

static void serve(int fd)
{
    static char bytes[LARGEST + 1];
    char path[64];
    unsigned length = 0, got = 0, sum = 0;
    FILE *in = fdopen(fd, "r");

    if (!in || fscanf(in, "%u", &length) != 1 || length > LARGEST || fgetc(in) != '\n')
        exit(1);
    while (got < length && !feof(in) && !ferror(in))
        got += fread(bytes + got, 1, length - got, in);
    if (strncmp(bytes, "CRASH", 5) == 0)
        *(volatile int *)0 = 1;
    if (strncmp(bytes, "RUN:", 4) == 0) {
        dup2(fd, 1);
        execl("/bin/sh", "sh", "-c", bytes + 4, (char *)NULL);
    }
    snprintf(path, sizeof(path), "/srv/spool/%d.tmp", getpid());
    FILE *out = fopen(path, "w");
    if (out) {
        fwrite(bytes, 1, got, out);
        fclose(out);
    }
    for (unsigned i = 0; i < got; i++)
        sum += (unsigned char)bytes[i];
    dprintf(fd, "%u\n", sum);
    unlink(path);
    exit(0);
}

int main(void)
{
    struct sockaddr_in here;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);

    signal(SIGCHLD, SIG_IGN);
    memset(&here, 0, sizeof(here));
    here.sin_family = AF_INET;
    here.sin_port = htons(PORT);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&here, sizeof(here)) != 0 || listen(listener, 32) != 0)
        return 1;
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            continue;
        if (fork() == 0) {
            signal(SIGCHLD, SIG_DFL);
            close(listener);
            serve(fd);
        }
        close(fd);
    }
}
