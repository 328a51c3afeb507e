/* Its metric is called like a path. */

#define INFO TXRAY_TEXT("{\"name\": \"plain\", \"version\": \"1\", \"components\": [" \
                        "{\"interface\": \"txray.metric/1\", \"kind\": \"../x\"}]}")

#include "plain.h"
