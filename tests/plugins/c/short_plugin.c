/* Its plugin is smaller than that of version 1. */

#define PLUGIN_SIZE 32

#include "plain.h"
