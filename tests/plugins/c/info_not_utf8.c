/* Its description is not UTF-8. */

#define INFO TXRAY_TEXT("{\"name\": \"\xff\"}")

#include "plain.h"
