/* Reads options that are numbers, also in tables: a JSON object such as {"base": 2, "train": {"epochs": 3}}. For options of
 * other kinds take a JSON library. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "txray.h"

#include <stdlib.h>

/* What stands in a table is named with it: "train/epochs". */
typedef struct number_option { const char *name; double value; } number_option;

static const char *after_space(const char *at) { return at + strspn(at, " \t\r\n"); }

/* Reads the object that begins at `at`, whose options are named below `table`; gives where it ends, or NULL once it has
 * told the host what is wrong. */
static const char *read_table(const txray_host *host, const char *at, const char *table, number_option *options,
                              size_t count) {
    at = after_space(*at == '{' ? at + 1 : at);
    while (*at == '"') {
        const char *name = ++at;
        at += strcspn(at, "\"");
        /* The JSON pointer to the option, from which txray makes a line and a caret. */
        char pointer[256] = "/";
        if (strlen(table) + (size_t)(at - name) + 3 > sizeof pointer) name = at;
        strcat(pointer, table);
        strncat(pointer, name, (size_t)(at - name));
        at = after_space(*at ? at + 1 : at);
        at = after_space(*at == ':' ? at + 1 : at);
        number_option *option = NULL;
        int is_table = 0;
        size_t length = strlen(pointer + 1);
        for (size_t i = 0; i < count; i++) {
            if (strcmp(options[i].name, pointer + 1) == 0) option = &options[i];
            is_table |= strncmp(options[i].name, pointer + 1, length) == 0 && options[i].name[length] == '/';
        }
        if (is_table && *at == '{') {
            at = read_table(host, at, strcat(pointer + 1, "/"), options, count);
            if (!at) return NULL;
        } else if (!option) {
            txray_fail(host, TXRAY_INVALID, pointer, is_table ? "must be a table" : "there is no such option");
            return NULL;
        } else {
            char *end;
            option->value = strtod(at, &end);
            /* strtod takes more than JSON has: nan and inf. */
            if (end == at || !strchr("-0123456789", *at)) {
                txray_fail(host, TXRAY_INVALID, pointer, "must be a number");
                return NULL;
            }
            at = end;
        }
        at = after_space(at);
        at = after_space(*at == ',' ? at + 1 : at);
    }
    return after_space(*at == '}' ? at + 1 : at);
}

/* Writes the numbers that are there into `options`. What is no number, or has another name, is refused. */
static txray_status read_numbers(const txray_host *host, txray_str text, number_option *options, size_t count) {
    char *copy = malloc(text.len + 1);
    if (!copy) return txray_fail(host, TXRAY_FAILED, "", "out of memory");
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    const char *end = read_table(host, copy, "", options, count);
    free(copy);
    return end ? TXRAY_OK : TXRAY_INVALID;
}

#endif
