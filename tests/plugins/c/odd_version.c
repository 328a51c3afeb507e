/* Its version has two lines. */

#define INFO TXRAY_TEXT("{\"name\": \"plain\", \"version\": \"1\\n2\", \"components\": [" \
                        "{\"interface\": \"txray.metric/1\", \"kind\": \"plain\"}]}")

#include "plain.h"
