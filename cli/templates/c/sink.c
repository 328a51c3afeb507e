/* {{name}}: a report, for txray: it reads a finished run, and writes a file beside its tables. */
#include "options.h"

#include <stdio.h>

static txray_status create(const txray_host *host, txray_str kind, txray_str options, void **out) {
    static int component; /* it has no state of its own */
    (void)kind;           /* there is only one here */
    *out = &component;
    return read_numbers(host, options, NULL, 0); /* nor options */
}

static void destroy(void *component) { (void)component; }

/* Writes the names of the run's steps: what stands behind "name": in the list "steps" of the manifest. For more take a
 * JSON library; the tables are Parquet. */
static txray_status write_report(void *component, const txray_host *host, txray_str directory, txray_str manifest) {
    static const char file[] = "/{{name}}.txt";
    static const char key[] = "\"name\":";
    (void)component;
    char *path = malloc(directory.len + sizeof file), *text = malloc(manifest.len + 1);
    FILE *report = NULL;
    if (path && text) {
        memcpy(path, directory.ptr, directory.len);
        memcpy(path + directory.len, file, sizeof file);
        memcpy(text, manifest.ptr, manifest.len);
        text[manifest.len] = 0;
        report = fopen(path, "w");
    }
    if (!report) {
        free(path), free(text);
        return txray_fail(host, TXRAY_FAILED, "", "the report cannot be written");
    }
    fputs("The steps of this run:\n", report);
    const char *at = strstr(text, "\"steps\":"), *end = strstr(text, "\"outputs\":");
    while (at && (at = strstr(at, key)) && (!end || at < end)) {
        at += sizeof key - 1;
        at += strspn(at, " \"");
        size_t length = strcspn(at, "\"");
        fprintf(report, "- %.*s\n", (int)length, at);
    }
    int failed = ferror(report);
    failed |= fclose(report);
    free(path), free(text);
    return failed ? txray_fail(host, TXRAY_FAILED, "", "the report cannot be written") : TXRAY_OK;
}

static const txray_sink_table table = {sizeof(txray_sink_table), create, destroy, write_report};

static const void *query(txray_str interface_name) {
    return txray_equals(interface_name, TXRAY_SINK) ? &table : NULL;
}

static const txray_plugin plugin = {
    TXRAY_MAGIC, TXRAY_ABI_MAJOR, TXRAY_ABI_MINOR, sizeof(txray_plugin),
    TXRAY_TEXT("{\"name\": \"{{name}}\", \"version\": \"0.1.0\", \"components\": [{"
               "\"interface\": \"txray.sink/1\", \"kind\": \"{{name}}\","
               "\"about\": \"the steps of a run, in {{name}}.txt\","
               "\"options\": {\"type\": \"object\", \"properties\": {}}}]}"),
    query,
};

const txray_plugin *txray_plugin_v1(void) { return &plugin; }
