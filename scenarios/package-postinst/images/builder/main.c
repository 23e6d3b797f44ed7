/* What the builder builds. */
#include <stdio.h>

int main(void)
{
    printf("built\n");
    return 0;
}
