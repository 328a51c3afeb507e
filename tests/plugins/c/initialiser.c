/* It leaves a file where MARK says as soon as it is loaded, before anything is called. */

#include <stdio.h>

__attribute__((constructor)) static void initialise(void) {
    FILE *file = fopen(MARK, "w");
    if (file != NULL) fclose(file);
}

#include "plain.h"
