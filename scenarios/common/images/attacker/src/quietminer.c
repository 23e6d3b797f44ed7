/* A stand-in for a miner that hides: no arguments, a harmless name, its pool in a file beside it, a quarter of one CPU.
 *
 *   PROGRAM        reads PROGRAM.conf: "HOST PORT"
 *
 * It speaks stratum and cannot mine: the "work" is a counter that nobody wants. It ends after LIFETIME seconds.
 */
#include <stdio.h>
#include <stdlib.h>

#include "net.h"

#define LIFETIME 25 /* s */
#define BUSY_MS 25  /* of every 100 ms */
#define SUBMIT_S 4

static const char LOGIN[] = "{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"login\",\"params\":{\"login\":\"4MadeUp\","
                            "\"pass\":\"x\",\"agent\":\"stand-in/1.0\"}}\n";
static const char SUBMIT[] = "{\"id\":2,\"jsonrpc\":\"2.0\",\"method\":\"submit\",\"params\":{\"id\":\"stand-in\","
                             "\"job_id\":\"1\",\"nonce\":\"00000000\",\"result\":\"00\"}}\n";

int main(int argc, char **argv)
{
    char path[4096], host[256], port[16], answer[4096];
    unsigned long long state = 1;
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 8);

    if (length < 0)
        return 1;
    strcpy(path + length, ".conf");
    FILE *conf = fopen(path, "r");
    if (!conf || fscanf(conf, "%255s %15s", host, port) != 2)
        return 1;
    fclose(conf);
    int fd = dial(host, port);
    if (fd < 0 || send(fd, LOGIN, strlen(LOGIN), MSG_NOSIGNAL) < 0 || recv(fd, answer, sizeof(answer), 0) <= 0)
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
            if (send(fd, SUBMIT, strlen(SUBMIT), MSG_NOSIGNAL) < 0 || recv(fd, answer, sizeof(answer), 0) <= 0)
                return 1;
        }
    }
    close(fd);
    return state == 0;
}
