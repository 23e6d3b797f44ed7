/* Runs a program without a file: fetches it over HTTP into a memfd and executes that.
 *
 *   memrun HOST PATH NAME [ARGUMENT]...      NAME is the memfd's name and the program's argv[0]
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "net.h"

extern int fexecve(int fd, char *const argv[], char *const envp[]);
extern char **environ;

int main(int argc, char **argv)
{
    char text[65536];
    ssize_t got;
    int in_body = 0;

    if (argc < 4)
        return 2;
    int fd = dial(argv[1], "80"), memory = memfd_create(argv[3], MFD_CLOEXEC);
    if (fd < 0 || memory < 0)
        return 1;
    snprintf(text, sizeof(text), "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", argv[2], argv[1]);
    send(fd, text, strlen(text), MSG_NOSIGNAL);
    size_t head = 0;
    while ((got = recv(fd, text + head, sizeof(text) - 1 - head, 0)) > 0) {
        char *body = text;
        size_t length = head + got;
        if (!in_body) {
            text[length] = 0;
            char *end = strstr(text, "\r\n\r\n");
            if (!end) {
                head = length;
                continue;
            }
            in_body = 1;
            body = end + 4;
            length -= body - text;
        }
        if (write(memory, body, length) != (ssize_t)length)
            return 1;
        head = 0;
    }
    close(fd);
    fexecve(memory, argv + 3, environ);
    return 1;
}
