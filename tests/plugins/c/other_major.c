/* It was built for a later version of the boundary. */

#define MAJOR 2

#include "plain.h"
