/* Its description says that it has more bytes than there is memory. */

#define INFO {"{}", (size_t)1 << 62}

#include "plain.h"
