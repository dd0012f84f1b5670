/// Scans of `_bulk` request bodies: an action line, then for every operation but `delete` a source line.
#ifndef MILLRACE_CSYSTEM_BULK_H
#define MILLRACE_CSYSTEM_BULK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/// What an action line says. The operation is in the lowest three bits, flags are above.
enum {
    MILLRACE_BULK_BLANK = 0,       // white space only; the engines skip such a line
    MILLRACE_BULK_INDEX = 1,
    MILLRACE_BULK_CREATE = 2,
    MILLRACE_BULK_UPDATE = 3,
    MILLRACE_BULK_DELETE = 4,
    MILLRACE_BULK_UNREADABLE = 7,  // not an action; also a key with an escape, which is not resolved here
    MILLRACE_BULK_OPERATION = 7,   // mask
    MILLRACE_BULK_HAS_ID = 8,
};

static inline size_t millrace_bulk_skip_space(const uint8_t *bytes, size_t at, size_t end) {
    while (at < end && (bytes[at] == ' ' || bytes[at] == '\t' || bytes[at] == '\r' || bytes[at] == '\n')) at += 1;
    return at;
}

/// Offset of the quotation mark that closes the string whose text begins at `at`, or `end`. `*escapes` counts
/// backslashes.
static inline size_t millrace_bulk_string_end(const uint8_t *bytes, size_t at, size_t end, size_t *escapes) {
    while (at < end && bytes[at] != '"') {
        if (bytes[at] == '\\') {
            *escapes += 1;
            at += 1;
        }
        at += 1;
    }
    return at < end ? at : end;
}

/// Offset behind the value that begins at `at`, or `end` when the line ends inside it.
static inline size_t millrace_bulk_value_end(const uint8_t *bytes, size_t at, size_t end) {
    size_t depth = 0, escapes = 0;
    while (at < end) {
        switch (bytes[at]) {
        case '"':
            at = millrace_bulk_string_end(bytes, at + 1, end, &escapes);
            if (at == end) return end;
            break;
        case '{': case '[': depth += 1; break;
        case '}': case ']':
            if (depth == 0) return at;
            depth -= 1;
            break;
        case ',':
            if (depth == 0) return at;
            break;
        default: break;
        }
        at += 1;
    }
    return end;
}

/// Reads one action line: `{"index":{"_index":"a","_id":"1"}}`. Members in any order; an `_id` of null is none.
static inline uint8_t millrace_bulk_action(const uint8_t *line, size_t count) {
    size_t at = millrace_bulk_skip_space(line, 0, count), escapes = 0;
    if (at == count) return MILLRACE_BULK_BLANK;
    if (line[at] != '{') return MILLRACE_BULK_UNREADABLE;
    at = millrace_bulk_skip_space(line, at + 1, count);
    if (at == count || line[at] != '"') return MILLRACE_BULK_UNREADABLE;
    size_t name = at + 1;
    at = millrace_bulk_string_end(line, name, count, &escapes);
    if (at == count) return MILLRACE_BULK_UNREADABLE;
    uint8_t result;
    size_t length = at - name;
    if (length == 5 && memcmp(line + name, "index", 5) == 0) result = MILLRACE_BULK_INDEX;
    else if (length == 6 && memcmp(line + name, "create", 6) == 0) result = MILLRACE_BULK_CREATE;
    else if (length == 6 && memcmp(line + name, "update", 6) == 0) result = MILLRACE_BULK_UPDATE;
    else if (length == 6 && memcmp(line + name, "delete", 6) == 0) result = MILLRACE_BULK_DELETE;
    else return MILLRACE_BULK_UNREADABLE;
    at = millrace_bulk_skip_space(line, at + 1, count);
    if (at == count || line[at] != ':') return MILLRACE_BULK_UNREADABLE;
    at = millrace_bulk_skip_space(line, at + 1, count);
    if (at == count || line[at] != '{') return MILLRACE_BULK_UNREADABLE;
    at += 1;
    for (;;) {
        at = millrace_bulk_skip_space(line, at, count);
        if (at == count) return MILLRACE_BULK_UNREADABLE;
        if (line[at] == '}') return result;
        if (line[at] == ',') {
            at += 1;
            continue;
        }
        if (line[at] != '"') return MILLRACE_BULK_UNREADABLE;
        size_t key = at + 1;
        at = millrace_bulk_string_end(line, key, count, &escapes);
        if (at == count || escapes > 0) return MILLRACE_BULK_UNREADABLE;
        length = at - key;
        at = millrace_bulk_skip_space(line, at + 1, count);
        if (at == count || line[at] != ':') return MILLRACE_BULK_UNREADABLE;
        at = millrace_bulk_skip_space(line, at + 1, count);
        if (length == 3 && memcmp(line + key, "_id", 3) == 0 && at < count && line[at] != 'n') {
            return result | MILLRACE_BULK_HAS_ID;
        }
        at = millrace_bulk_value_end(line, at, count);
    }
}

/// Looks through whole lines of `bytes` for an `index` or `create` action without id, or one that cannot be read.
/// Returns 1 when there is one, 0 when the whole lines hold none. `*in_source`: the next line is a source; `*consumed`:
/// the bytes of the whole lines.
static inline int millrace_bulk_lacks_id(
    const uint8_t *bytes, size_t count, int *in_source, size_t *consumed) {
    size_t at = 0;
    int source = *in_source;
    int found = 0;
    while (at < count) {
        const uint8_t *line_feed = (const uint8_t *)memchr(bytes + at, '\n', count - at);
        if (!line_feed) break;
        size_t next = (size_t)(line_feed - bytes) + 1;
        if (source) {
            source = 0;
        } else {
            uint8_t action = millrace_bulk_action(bytes + at, next - 1 - at);
            uint8_t operation = action & MILLRACE_BULK_OPERATION;
            if (operation == MILLRACE_BULK_UNREADABLE
                || (operation <= MILLRACE_BULK_CREATE && operation != 0 && !(action & MILLRACE_BULK_HAS_ID))) {
                found = 1;
                break;
            }
            source = operation != MILLRACE_BULK_DELETE && operation != MILLRACE_BULK_BLANK;
        }
        at = next;
    }
    *in_source = source;
    *consumed = at;
    return found;
}

#endif
