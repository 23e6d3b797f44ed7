#include <stdio.h>
#include <stdlib.h>

int parse(int), store(int), print(int), sum(int);

int main(int count, char **arguments) {
	if (count != 2)
		return 2;
	return printf("%d\n", sum(print(store(parse(atoi(arguments[1])))))) < 0;
}
