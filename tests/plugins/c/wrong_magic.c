/* It begins with the magic of something else. */

#define MAGIC UINT64_C(0x1234)

#include "plain.h"
