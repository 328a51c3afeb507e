/* It is called what a terminal obeys. */

#define INFO TXRAY_TEXT("{\"name\": \"a\\u001b[31m\", \"version\": \"1\", \"components\": [" \
                        "{\"interface\": \"txray.metric/1\", \"kind\": \"plain\"}]}")

#include "plain.h"
