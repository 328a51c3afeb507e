/* It refuses options, and does not say why. */

#include "txray.h"

static txray_status shrugs(const txray_host *host, txray_str kind, txray_str options, void **out) {
    static int component;
    (void)host, (void)kind;
    *out = &component;
    return options.len == 2 ? TXRAY_OK : TXRAY_INVALID;
}
#define CREATE shrugs

#include "plain.h"
