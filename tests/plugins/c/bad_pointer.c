/* It names the wrong option by something that is no JSON pointer. */

#include "txray.h"

static txray_status refuses(const txray_host *host, txray_str kind, txray_str options, void **out) {
    (void)kind, (void)options, (void)out;
    return txray_fail(host, TXRAY_INVALID, "\xc3\xa9t\xc3\xa9", "too warm");
}
#define CREATE refuses

#include "plain.h"
