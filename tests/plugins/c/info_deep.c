/* Its description is lists within lists. */

#define DEEP "[[[[[[[[[[[[[[[["
#define DEEPER DEEP DEEP DEEP DEEP DEEP DEEP DEEP DEEP DEEP DEEP
#define INFO TXRAY_TEXT("{\"name\": \"plain\", \"version\": \"1\", \"components\": [" \
                        "{\"interface\": \"txray.metric/1\", \"kind\": \"plain\", \"options\": " DEEPER)

#include "plain.h"
