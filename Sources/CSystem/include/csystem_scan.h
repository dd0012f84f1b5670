/// Vector scans over bytes. Swift's SIMD types are hundreds of times slower for these.
#ifndef MILLRACE_CSYSTEM_SCAN_H
#define MILLRACE_CSYSTEM_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/// Offset of the first byte in [0, count) that is a line feed or a carriage return, or count.
static inline size_t millrace_find_line_break(const uint8_t *bytes, size_t count) {
    size_t i = 0;
    for (; i + 32 <= count; i += 32) {
        uint8_t hit = 0;
        for (int k = 0; k < 32; k++) hit |= (bytes[i + k] == '\n') | (bytes[i + k] == '\r');
        if (hit) break;
    }
    for (; i < count; i++)
        if (bytes[i] == '\n' || bytes[i] == '\r') return i;
    return count;
}

#endif
