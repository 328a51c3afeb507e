/* It fails to make a component after writing one: the host must not end what was never made. */

#include "txray.h"

#include <stdlib.h>

static txray_status makes_half(const txray_host *host, txray_str kind, txray_str options, void **out) {
    (void)kind, (void)options;
    *out = out;
    return txray_fail(host, TXRAY_FAILED, "", "only half was made");
}
static void never(void *component) {
    (void)component;
    abort();
}
#define CREATE makes_half
#define DESTROY never

#include "plain.h"
