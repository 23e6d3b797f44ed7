/* A port scanner: TCP connections to every port of a list on the /24 of this host, PAUSE_MS apart.
 *
 *   scan FIRST LAST PAUSE_MS PORT...      addresses X.Y.Z.FIRST to X.Y.Z.LAST of the container's own network
 *
 * It refuses to leave the network of the container it runs in: the prefix comes from the interface, not from the caller.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "net.h"

/* 1: open. */
static int probe(unsigned address, int port)
{
    struct sockaddr_in to;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), error = -1;
    socklen_t length = sizeof(error);

    memset(&to, 0, sizeof(to));
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(address);
    if (fd < 0)
        return 0;
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 && errno != EINPROGRESS) {
        close(fd);
        return 0;
    }
    struct pollfd wait = {fd, POLLOUT, 0};
    if (poll(&wait, 1, 60) > 0)
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    close(fd);
    return error == 0;
}

int main(int argc, char **argv)
{
    struct ifaddrs *list, *each;
    unsigned own = 0;

    if (argc < 5 || getifaddrs(&list) != 0)
        return 2;
    for (each = list; each; each = each->ifa_next)
        if (each->ifa_addr && each->ifa_addr->sa_family == AF_INET && strcmp(each->ifa_name, "lo") != 0)
            own = ntohl(((struct sockaddr_in *)each->ifa_addr)->sin_addr.s_addr);
    freeifaddrs(list);
    if (own == 0)
        return 1;
    for (int host = atoi(argv[1]); host <= atoi(argv[2]) && host < 255; host++)
        for (int i = 4; i < argc; i++) {
            if (probe((own & 0xffffff00) | host, atoi(argv[i])))
                printf("%d:%s open\n", host, argv[i]);
            usleep(atoi(argv[3]) * 1000);
        }
    return 0;
}
