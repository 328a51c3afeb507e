/* It lacks the function `query`. */

#define QUERY NULL

#include "plain.h"
