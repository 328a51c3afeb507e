/* A model of another revision of the unstable interface. Nothing of it may ever be called. */

#include <stdlib.h>
#include "txray.h"

static txray_status create(const txray_host *host, txray_str kind, txray_str options, void **out) {
    (void)host, (void)kind, (void)options, (void)out;
    abort();
}
static void destroy(void *component) { (void)component; abort(); }

static const void *query(txray_str interface_name) {
    static txray_model_table model;
    model.size = sizeof model;
    model.create = create;
    model.destroy = destroy;
    /* Any function but NULL. */
    model.ability = (const void *(*)(const void *, txray_str))(void (*)(void))destroy;
    model.capabilities = (txray_status (*)(const void *, const txray_host *, void (*)(void *, txray_str), void *))(void (*)(void))destroy;
    model.describe = model.capabilities;
    model.initialize = (txray_status (*)(void *, const txray_host *, uint64_t, uint64_t))(void (*)(void))destroy;
    model.load = (txray_status (*)(void *, const txray_host *, txray_str))(void (*)(void))destroy;
    model.save = (txray_status (*)(const void *, const txray_host *, txray_str))(void (*)(void))destroy;
    model.revision = TXRAY_MODEL_REVISION + 1;
    return txray_equals(interface_name, TXRAY_MODEL) ? &model : NULL;
}

const txray_plugin *txray_plugin_v1(void) {
    static const txray_plugin plugin = {
        TXRAY_MAGIC,
        TXRAY_ABI_MAJOR,
        TXRAY_ABI_MINOR,
        sizeof plugin,
        TXRAY_TEXT("{\"name\": \"other-revision\", \"version\": \"1\", \"components\": ["
                   "{\"interface\": \"txray.model/0\", \"kind\": \"plain\"}]}"),
        query,
    };
    return &plugin;
}
