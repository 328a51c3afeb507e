/* Reads options that are numbers: a JSON object such as {"base": 2}. For options of other kinds take a JSON library. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "txray.h"

#include <stdlib.h>

typedef struct number_option { const char *name; double value; } number_option;

static const char *after_space(const char *at) { return at + strspn(at, " \t\r\n"); }

/* Writes the numbers that are there into `options`. What is no number, or has another name, is refused with a JSON
 * pointer, from which txray makes a line and a caret. */
static txray_status read_numbers(const txray_host *host, txray_str text, number_option *options, size_t count) {
    txray_status status = TXRAY_OK;
    char *copy = malloc(text.len + 1);
    if (!copy) return txray_fail(host, TXRAY_FAILED, "", "out of memory");
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    const char *at = after_space(copy);
    at = after_space(*at == '{' ? at + 1 : at);
    while (*at == '"' && status == TXRAY_OK) {
        const char *name = ++at;
        at += strcspn(at, "\"");
        size_t length = (size_t)(at - name);
        char pointer[128] = "/";
        if (length < sizeof(pointer) - 1) memcpy(pointer + 1, name, length);
        number_option *option = NULL;
        for (size_t i = 0; i < count; i++) {
            if (strlen(options[i].name) == length && memcmp(options[i].name, name, length) == 0) option = &options[i];
        }
        if (!option) {
            status = txray_fail(host, TXRAY_INVALID, pointer, "there is no such option");
            break;
        }
        at = after_space(*at ? at + 1 : at);
        at = after_space(*at == ':' ? at + 1 : at);
        char *end;
        option->value = strtod(at, &end);
        /* strtod takes more than JSON has: nan, inf, and hexadecimal. */
        if (end == at || !strchr("-0123456789", *at)) {
            status = txray_fail(host, TXRAY_INVALID, pointer, "must be a number");
            break;
        }
        at = after_space(end);
        at = after_space(*at == ',' ? at + 1 : at);
    }
    free(copy);
    return status;
}

#endif
