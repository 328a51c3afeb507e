/* It makes a component, and gives none. */

#include "txray.h"

static txray_status makes_nothing(const txray_host *host, txray_str kind, txray_str options, void **out) {
    (void)host, (void)kind, (void)options, (void)out;
    return TXRAY_OK;
}
#define CREATE makes_nothing

#include "plain.h"
