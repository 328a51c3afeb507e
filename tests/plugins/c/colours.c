/* What it says of itself moves the cursor of a terminal, and colours it. */

#define INFO TXRAY_TEXT("{\"name\": \"plain\", \"version\": \"1\", \"components\": [" \
                        "{\"interface\": \"txray.metric/1\", \"kind\": \"plain\", \"about\": \"\\u001b[31mred\\u202e\"," \
                        "\"options\": {\"type\": \"object\", \"properties\": {\"o\\u001b[2J\": {\"type\": \"number\"," \
                        "\"description\": \"\\u009bclears\"}}}}]}")

#include "plain.h"
