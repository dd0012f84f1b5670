/// Scans over JSON text (RFC 8259), as static inline functions. Each returns the offset in [at, end] of the first byte
/// that ends the run, and reads bytes of [at, end) only.
#ifndef MILLRACE_CSYSTEM_JSON_H
#define MILLRACE_CSYSTEM_JSON_H

#include <stddef.h>
#include <stdint.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/// End of a run of bytes that a JSON string holds as they are: everything but '"', '\\' and control characters.
static inline size_t millrace_json_plain_end(const uint8_t *bytes, size_t at, size_t end) {
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), control = _mm_set1_epi8(0x1F);
    while (end - at >= 16) {
        __m128i block = _mm_loadu_si128((const __m128i *)(const void *)(bytes + at));
        __m128i stops = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(block, quote), _mm_cmpeq_epi8(block, backslash)),
            _mm_cmpeq_epi8(_mm_min_epu8(block, control), block));
        unsigned found = (unsigned)_mm_movemask_epi8(stops);
        if (found) return at + (size_t)__builtin_ctz(found);
        at += 16;
    }
#endif
    while (at < end && bytes[at] >= 0x20 && bytes[at] != '"' && bytes[at] != '\\') at += 1;
    return at;
}

/// End of a run of ASCII.
static inline size_t millrace_ascii_end(const uint8_t *bytes, size_t at, size_t end) {
#if defined(__SSE2__)
    while (end - at >= 16) {
        unsigned found = (unsigned)_mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)(bytes + at)));
        if (found) return at + (size_t)__builtin_ctz(found);
        at += 16;
    }
#endif
    while (at < end && bytes[at] < 0x80) at += 1;
    return at;
}

#endif
