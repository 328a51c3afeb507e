/* Takes down the process that makes it. */

#include <stdlib.h>

#include "txray.h"

static txray_status crash(const txray_host *host, txray_str kind, txray_str options, void **out) {
    (void)host, (void)kind, (void)options, (void)out;
    abort();
}
#define CREATE crash

#include "plain.h"
