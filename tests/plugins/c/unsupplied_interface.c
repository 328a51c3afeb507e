/* It describes a pruner, but supplies metrics alone. */

#define INFO TXRAY_TEXT("{\"name\": \"plain\", \"version\": \"1\", \"components\": [" \
                        "{\"interface\": \"txray.pruner/1\", \"kind\": \"plain\"}]}")

#include "plain.h"
