/* Its description has a length, but no text. */

#define INFO {NULL, 100}

#include "plain.h"
