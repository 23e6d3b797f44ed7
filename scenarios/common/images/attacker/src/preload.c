/* A library for ld.so.preload: every program of the container loads it from then on. Nothing in it is ever called. */
int selinux_compat_version(void)
{
    return 1;
}
