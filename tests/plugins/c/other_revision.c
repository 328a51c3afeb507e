/* A model of another revision of the unstable interface. Nothing of it may ever be called. */

#include <stdlib.h>
#include "txray.h"

static void nothing(void) { abort(); }

static const void *query(txray_str interface_name) {
    static txray_model_table model;
    /* Any function but NULL, in every word. */
    void (*function)(void) = nothing;
    for (size_t at = sizeof(size_t); at < sizeof model; at += sizeof function) {
        memcpy((char *)&model + at, &function, sizeof function);
    }
    model.size = sizeof model;
#ifdef TXRAY_MODEL_REVISION
    model.revision = TXRAY_MODEL_REVISION + 1;
#endif
#ifdef SHORTER
    model.size = offsetof(txray_model_table, revision) + sizeof model.revision;
#endif
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
