/* Its table of metrics lacks a function. */

#define DISTANCES NULL

#include "plain.h"
