/* A stand-in for a miner: it has a miner's command line, speaks stratum, and keeps a CPU busy, but cannot mine. The
 * "work" is a counter through an integer mix whose result nobody wants, and the shares it submits are made up.
 *
 *   xmrig -o stratum+tcp://HOST:PORT -u WALLET [-p PASS] [--donate-level N]
 *
 * It ends by itself after LIFETIME seconds. Without -o it is the application's helper (worker.c), so that overwriting
 * the helper with it breaks nothing that would give it away.
 */
#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define main worker_main
#include "worker.c"
#undef main

#define LIFETIME 30 /* s */
#define BUSY_MS 60  /* of every 100 ms: a scenario must leave the machine usable */
#define SUBMIT_S 3

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int connect_to(const char *url)
{
    const char *prefix = "stratum+tcp://";
    char host[256];
    struct addrinfo hints, *list, *each;
    int fd = -1;

    if (strncmp(url, prefix, strlen(prefix)) == 0)
        url += strlen(prefix);
    const char *colon = strrchr(url, ':');
    if (!colon || colon - url >= (long)sizeof(host))
        return -1;
    memcpy(host, url, colon - url);
    host[colon - url] = 0;
    memset(&hints, 0, sizeof(hints));
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(host, colon + 1, &hints, &list) != 0)
        return -1;
    for (each = list; each; each = each->ai_next) {
        fd = socket(each->ai_family, each->ai_socktype, each->ai_protocol);
        if (fd >= 0 && connect(fd, each->ai_addr, each->ai_addrlen) == 0)
            break;
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    freeaddrinfo(list);
    return fd;
}

static int say(int fd, const char *line)
{
    return send(fd, line, strlen(line), MSG_NOSIGNAL) < 0 ? -1 : 0;
}

/* Waits for one answer of the pool; what it says does not matter. */
static int listen_to(int fd)
{
    char answer[4096];
    struct timeval patience = {5, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return recv(fd, answer, sizeof(answer), 0) > 0 ? 0 : -1;
}

static int mine(const char *url, const char *wallet, const char *pass)
{
    char line[1024];
    unsigned long long state = 1;
    int submitted = 0;
    int fd = connect_to(url);

    if (fd < 0)
        return 1;
    snprintf(line, sizeof(line),
             "{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"login\",\"params\":{\"login\":\"%s\",\"pass\":\"%s\","
             "\"agent\":\"stand-in/1.0\",\"algo\":[\"rx/0\"]}}\n", wallet, pass);
    if (say(fd, line) || listen_to(fd))
        return 1;

    double begin = now(), submit = begin + SUBMIT_S;
    while (now() - begin < LIFETIME) {
        double until = now() + BUSY_MS / 1e3;
        while (now() < until)
            for (int i = 0; i < 20000; i++)
                state = (state ^ (state >> 27)) * 0x3c79ac492ba7b653ULL + 1;
        usleep((100 - BUSY_MS) * 1000);
        if (now() >= submit) {
            submit += SUBMIT_S;
            snprintf(line, sizeof(line),
                     "{\"id\":%d,\"jsonrpc\":\"2.0\",\"method\":\"submit\",\"params\":{\"id\":\"stand-in\",\"job_id\":\"1\","
                     "\"nonce\":\"%08x\",\"result\":\"%016llx%016llx%016llx%016llx\"}}\n",
                     ++submitted + 1, (unsigned)state, state, ~state, state * 3, state * 5);
            if (say(fd, line) || listen_to(fd))
                return 1;
        }
    }
    close(fd);
    return 0;
}

int main(int argc, char **argv)
{
    const char *url = option(argc, argv, "-o"), *wallet = option(argc, argv, "-u"), *pass = option(argc, argv, "-p");

    if (!url)
        return worker_main(argc, argv);
    return mine(url, wallet ? wallet : "", pass ? pass : "x");
}
