/* It claims what nobody has heard of. */

#define INFO TXRAY_TEXT("{\"name\": \"plain\", \"version\": \"1\", \"components\": [" \
                        "{\"interface\": \"txray.metric/1\", \"kind\": \"plain\", \"claims\": [\"round\"]}]}")

#include "plain.h"
