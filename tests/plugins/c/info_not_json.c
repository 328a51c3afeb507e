/* Its description is not JSON. */

#define INFO TXRAY_TEXT("plain, version 1")

#include "plain.h"
