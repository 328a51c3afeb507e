/* Its metric runs on a device that is none. */

#define INFO TXRAY_TEXT("{\"name\": \"plain\", \"version\": \"1\", \"components\": [" \
                        "{\"interface\": \"txray.metric/1\", \"kind\": \"plain\", \"devices\": [\"a b\"]}]}")

#include "plain.h"
