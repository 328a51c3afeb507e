/* It tells its process's id in the file MARK as soon as it is loaded, and never comes back. */

#include <stdio.h>
#include <unistd.h>

__attribute__((constructor)) static void hang(void) {
    FILE *file = fopen(MARK, "w");
    if (file != NULL) {
        fprintf(file, "%d\n", (int)getpid());
        fclose(file);
    }
    for (;;) pause();
}

#include "plain.h"
