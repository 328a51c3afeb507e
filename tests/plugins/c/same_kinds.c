/* Two of its metrics have one name. */

#define INFO TXRAY_TEXT("{\"name\": \"plain\", \"version\": \"1\", \"components\": [" \
                        "{\"interface\": \"txray.metric/1\", \"kind\": \"plain\"}, {\"interface\": \"txray.metric/1\", \"kind\": \"plain\"}]}")

#include "plain.h"
