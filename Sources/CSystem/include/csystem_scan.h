/// Vector scans over bytes. Swift's SIMD types are hundreds of times slower for these.
#ifndef MILLRACE_CSYSTEM_SCAN_H
#define MILLRACE_CSYSTEM_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/// Offset of the first `byte` in [0, count), or count.
static inline size_t millrace_find_byte(const uint8_t *bytes, size_t count, uint8_t byte) {
    if (count == 0) return 0;
    const uint8_t *found = (const uint8_t *)memchr(bytes, byte, count);
    return found ? (size_t)(found - bytes) : count;
}

#endif
