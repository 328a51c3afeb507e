/* It takes the name of a built-in metric. */

#define INFO TXRAY_TEXT("{\"name\": \"stands-in\", \"version\": \"1\", \"components\": [" \
                        "{\"interface\": \"txray.metric/1\", \"kind\": \"hellinger\"}]}")

#include "plain.h"
