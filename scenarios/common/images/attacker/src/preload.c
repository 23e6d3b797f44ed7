/* A library for ld.so.preload: every program of the container loads it from then on. It does nothing but leave a mark. */
#include <fcntl.h>
#include <unistd.h>

__attribute__((constructor)) static void loaded(void)
{
    int fd = open("/var/tmp/.selinux-compat", O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0666);

    if (fd >= 0) {
        (void)!write(fd, ".", 1);
        close(fd);
    }
}
