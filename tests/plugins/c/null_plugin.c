/* Its entry gives nothing. */

#define ENTRY_GIVES NULL

#include "plain.h"
