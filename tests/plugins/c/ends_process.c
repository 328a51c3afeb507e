/* A metric that takes its process down: the option `by` names how. */

#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "txray.h"

#define INFO TXRAY_TEXT("{\"name\": \"ends\", \"version\": \"1\", \"components\": [" \
                        "{\"interface\": \"txray.metric/1\", \"kind\": \"ends\"}]}")

static char by;

static txray_status keep(const txray_host *host, txray_str kind, txray_str options, void **out) {
    (void)host, (void)kind;
    *out = &by;
    /* The options are {"by": "x"}: x is what is kept. */
    by = options.ptr[options.len - 3];
    if (by == 'c') exit(0);
    return TXRAY_OK;
}

#define CREATE keep

static void end(void *component) {
    (void)component;
    if (by == 'd') exit(0);
}
#define DESTROY end

/* Not without an end to a compiler, and deeper than any stack. */
static int overflow(volatile char *above) {
    volatile char room[4096];
    room[0] = above[0];
    return room[0] == 1 ? 0 : overflow(room) + room[0];
}

static void *ends(void *argument) {
    (void)argument;
    exit(0);
}

static void *crashes(void *argument) {
    (void)argument;
    abort();
}

static void in_thread(void *(*body)(void *)) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, body, NULL) == 0) pthread_join(thread, NULL);
}

static txray_status take_down(const void *metric, const txray_host *host, const txray_metric_batch *batch,
                              txray_f64_slice_mut out) {
    (void)metric, (void)host, (void)batch;
    volatile char none = 0;
    switch (by) {
    case 'e': exit(0);
    case 'E': exit(7);
    case 'q': quick_exit(0);
    case 't': in_thread(ends); break;
    case 'T': in_thread(crashes); break;
    case 's': *(volatile int *)8 = 1; break;
    case 'b': raise(SIGBUS); break;
    case 'f': raise(SIGFPE); break;
    case 'i': __builtin_trap();
    case 'a': abort();
    case 'o': out.ptr[0] = overflow(&none); break;
    /* A process of its own may end as it likes. */
    case 'F': if (fork() == 0) exit(0); break;
    }
    for (size_t row = 0; row < out.len; row++) out.ptr[row] = 0.25;
    return TXRAY_OK;
}
#define DISTANCES take_down

#include "plain.h"
