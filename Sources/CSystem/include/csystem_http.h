/// Scans and name tables for HTTP/1.1 heads (RFC 9110 §5, RFC 9112), as static inline functions.
/// Every scan returns the offset in [from, end] of the first byte that does not belong to the class, and reads bytes of
/// [0, end) only.
#ifndef MILLRACE_CSYSTEM_HTTP_H
#define MILLRACE_CSYSTEM_HTTP_H

#include "csystem_io.h"
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/// tchar of RFC 9110 §5.6.2, 32 bytes a row.
static const uint8_t millrace_http_token_bytes[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 1, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0,
    0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
};

static inline int millrace_http_is_token_byte(uint8_t byte) { return millrace_http_token_bytes[byte]; }

#if defined(__SSE2__)
/// 0xFF where first <= byte <= first + width.
static inline __m128i millrace_http_in_range(__m128i bytes, char first, char width) {
    __m128i shifted = _mm_sub_epi8(bytes, _mm_set1_epi8(first));
    return _mm_cmpeq_epi8(_mm_min_epu8(shifted, _mm_set1_epi8(width)), shifted);
}

static inline __m128i millrace_http_alphanumeric(__m128i bytes) {
    __m128i letters = millrace_http_in_range(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), 'a', 25);
    return _mm_or_si128(letters, millrace_http_in_range(bytes, '0', 9));
}

/// One bit for each of 16 bytes that ends a run.
static inline unsigned millrace_http_name_stops(__m128i bytes) {
    __m128i marks = _mm_or_si128(
        _mm_cmpeq_epi8(bytes, _mm_set1_epi8('-')), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('_')));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(millrace_http_alphanumeric(bytes), marks)) ^ 0xFFFFu;
}

static inline unsigned millrace_http_host_stops(__m128i bytes) {
    __m128i common = _mm_or_si128(millrace_http_alphanumeric(bytes), millrace_http_in_range(bytes, '-', 1));
    return (unsigned)_mm_movemask_epi8(common) ^ 0xFFFFu;
}

static inline unsigned millrace_http_value_stops(__m128i bytes) {
    __m128i controls = _mm_andnot_si128(
        _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x09)), millrace_http_in_range(bytes, 0, 0x1F));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(controls, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7F))));
}

static inline unsigned millrace_http_target_stops(__m128i bytes) {
    __m128i visible = _mm_andnot_si128(
        _mm_cmpeq_epi8(bytes, _mm_set1_epi8('#')), millrace_http_in_range(bytes, 0x21, 0x5D));
    return (unsigned)_mm_movemask_epi8(visible) ^ 0xFFFFu;
}

/// Defines a scan that returns the first stop in [at, end), `end`, or, when [0, end) has fewer than 16 bytes, `at`. The
/// last block overlaps with what was looked at, so that it stays inside [0, end).
#define MILLRACE_HTTP_SKIP(name, stops) \
    static inline size_t name(const uint8_t *bytes, size_t at, size_t end) { \
        while (end - at >= 16) { \
            unsigned found = stops(_mm_loadu_si128((const __m128i *)(const void *)(bytes + at))); \
            if (found) return at + (size_t)__builtin_ctz(found); \
            at += 16; \
        } \
        if (at == end || end < 16) return at; \
        unsigned found = stops(_mm_loadu_si128((const __m128i *)(const void *)(bytes + end - 16))); \
        found >>= 16 - (end - at); \
        return found ? at + (size_t)__builtin_ctz(found) : end; \
    }
#else
#define MILLRACE_HTTP_SKIP(name, stops) \
    static inline size_t name(const uint8_t *bytes, size_t at, size_t end) { return at; }
#endif

#if defined(__SSE2__)
/// Where a vector scan of an exact class has looked at every byte.
#define MILLRACE_HTTP_IS_EXACT(end) ((end) >= 16)
#else
#define MILLRACE_HTTP_IS_EXACT(end) 0
#endif

MILLRACE_HTTP_SKIP(millrace_http_skip_name, millrace_http_name_stops)
MILLRACE_HTTP_SKIP(millrace_http_skip_value, millrace_http_value_stops)
MILLRACE_HTTP_SKIP(millrace_http_skip_target, millrace_http_target_stops)
MILLRACE_HTTP_SKIP(millrace_http_skip_host, millrace_http_host_stops)
#undef MILLRACE_HTTP_SKIP

/// End of a run of token bytes, for short runs: the branch predictor learns where they end.
static inline size_t millrace_http_token_end(const uint8_t *bytes, size_t from, size_t end) {
    size_t at = from;
    while (at < end && millrace_http_token_bytes[bytes[at]]) at += 1;
    return at;
}

/// The same for field names. Letters, digits, '-' and '_' go 16 at a time; the rest of tchar is rare in names.
static inline size_t millrace_http_name_end(const uint8_t *bytes, size_t from, size_t end) {
    size_t at = millrace_http_skip_name(bytes, from, end);
    return millrace_http_token_end(bytes, at, end);
}

/// End of a run of field-value bytes: everything but control characters; HTAB and obs-text belong to it (§5.5).
static inline size_t millrace_http_value_end(const uint8_t *bytes, size_t from, size_t end) {
    size_t at = millrace_http_skip_value(bytes, from, end);
    if (MILLRACE_HTTP_IS_EXACT(end)) return at;
    while (at < end && (bytes[at] == 0x09 || (bytes[at] >= 0x20 && bytes[at] != 0x7F))) at += 1;
    return at;
}

/// End of a run of request-target bytes: visible ASCII without '#', as a target has no fragment (RFC 9112 §3.2).
static inline size_t millrace_http_target_end(const uint8_t *bytes, size_t from, size_t end) {
    size_t at = millrace_http_skip_target(bytes, from, end);
    if (MILLRACE_HTTP_IS_EXACT(end)) return at;
    while (at < end && bytes[at] > 0x20 && bytes[at] < 0x7F && bytes[at] != '#') at += 1;
    return at;
}

/// End of a run of reg-name bytes: unreserved and sub-delims (RFC 3986 §2, §3.2.2).
static inline size_t millrace_http_host_end(const uint8_t *bytes, size_t from, size_t end) {
    static const uint64_t low = UINT64_C(0x2BFF7FD200000000);
    static const uint64_t high = UINT64_C(0x47FFFFFE87FFFFFE);
    size_t at = millrace_http_skip_host(bytes, from, end);
    while (at < end && bytes[at] < 128 && (((bytes[at] < 64 ? low : high) >> (bytes[at] & 63)) & 1)) at += 1;
    return at;
}

/// Whether `count` bytes equal `lower` (lower-case letters, digits, '-') without regard to case. The bytes hold no
/// control characters: setting bit 5 cannot make another one equal to a letter, digit or '-'.
static inline int millrace_http_name_equals(const uint8_t *bytes, const char *lower, size_t count) {
    const uint64_t fold = UINT64_C(0x2020202020202020);
    uint64_t difference = 0, left = 0, right = 0;
    if (count >= 8) {
        // The last eight bytes overlap with those before.
        for (size_t at = 0;; at = at + 16 <= count ? at + 8 : count - 8) {
            memcpy(&left, bytes + at, 8);
            memcpy(&right, lower + at, 8);
            difference |= (left | fold) ^ right;
            if (at + 8 == count) return difference == 0;
        }
    }
    if (count >= 4) {
        uint32_t head, tail;
        memcpy(&head, bytes, 4);
        memcpy(&tail, bytes + count - 4, 4);
        left = (uint64_t)head << 32 | tail;
        memcpy(&head, lower, 4);
        memcpy(&tail, lower + count - 4, 4);
        right = (uint64_t)head << 32 | tail;
        return (left | fold) == right;
    }
    for (size_t at = 0; at < count; at += 1) difference |= (uint64_t)((bytes[at] | 0x20) ^ (uint8_t)lower[at]);
    return difference == 0;
}

/// Field names with a meaning here. The numbers are the raw values of Swift's `HTTPFieldName`.
enum {
    MILLRACE_HTTP_OTHER = 0,
    MILLRACE_HTTP_HOST,
    MILLRACE_HTTP_CONTENT_LENGTH,
    MILLRACE_HTTP_TRANSFER_ENCODING,
    MILLRACE_HTTP_CONNECTION,
    MILLRACE_HTTP_EXPECT,
    MILLRACE_HTTP_UPGRADE,
    MILLRACE_HTTP_TE,
    MILLRACE_HTTP_TRAILER,
    MILLRACE_HTTP_KEEP_ALIVE,
    MILLRACE_HTTP_PROXY_CONNECTION,
    MILLRACE_HTTP_CONTENT_TYPE,
    MILLRACE_HTTP_CONTENT_ENCODING,
    MILLRACE_HTTP_AUTHORIZATION,
};

/// The number of a field name that consists of token bytes.
static inline uint8_t millrace_http_name(const uint8_t *bytes, size_t count) {
#define MILLRACE_HTTP_NAME(text, number) \
    if (millrace_http_name_equals(bytes, text, sizeof(text) - 1)) return number
    switch (count) {
    case 2: MILLRACE_HTTP_NAME("te", MILLRACE_HTTP_TE); break;
    case 4: MILLRACE_HTTP_NAME("host", MILLRACE_HTTP_HOST); break;
    case 6: MILLRACE_HTTP_NAME("expect", MILLRACE_HTTP_EXPECT); break;
    case 7:
        MILLRACE_HTTP_NAME("upgrade", MILLRACE_HTTP_UPGRADE);
        MILLRACE_HTTP_NAME("trailer", MILLRACE_HTTP_TRAILER);
        break;
    case 10:
        MILLRACE_HTTP_NAME("connection", MILLRACE_HTTP_CONNECTION);
        MILLRACE_HTTP_NAME("keep-alive", MILLRACE_HTTP_KEEP_ALIVE);
        break;
    case 12: MILLRACE_HTTP_NAME("content-type", MILLRACE_HTTP_CONTENT_TYPE); break;
    case 13: MILLRACE_HTTP_NAME("authorization", MILLRACE_HTTP_AUTHORIZATION); break;
    case 14: MILLRACE_HTTP_NAME("content-length", MILLRACE_HTTP_CONTENT_LENGTH); break;
    case 16:
        MILLRACE_HTTP_NAME("content-encoding", MILLRACE_HTTP_CONTENT_ENCODING);
        MILLRACE_HTTP_NAME("proxy-connection", MILLRACE_HTTP_PROXY_CONNECTION);
        break;
    case 17: MILLRACE_HTTP_NAME("transfer-encoding", MILLRACE_HTTP_TRANSFER_ENCODING); break;
    default: break;
    }
#undef MILLRACE_HTTP_NAME
    return MILLRACE_HTTP_OTHER;
}

/// A field line: where its name and its trimmed value stand, and the number of its name.
struct millrace_http_field {
    uint32_t name_start, name_end, value_start, value_end;
    uint32_t name;
};

/// Scans up to `capacity` whole and well-formed field lines from `*position` on, moves it behind them and returns their
/// number. It stops in front of everything else (the empty line, a line that is incomplete or wrong), which the caller
/// looks at byte by byte.
static inline size_t millrace_http_field_lines(
    const uint8_t *bytes, size_t *position, size_t end, struct millrace_http_field *fields, size_t capacity) {
    size_t line = *position, count = 0;
    while (count < capacity) {
        // The line's end is sought from its start, not from its value: so the next line does not wait for this name.
        size_t value_end = millrace_http_value_end(bytes, line, end);
        if (end - value_end < 2 || bytes[value_end] != '\r' || bytes[value_end + 1] != '\n') break;
        size_t name_end = millrace_http_name_end(bytes, line, end);
        if (name_end == line || bytes[name_end] != ':') break;
        size_t value_start = name_end + 1;
        while (value_start < value_end && (bytes[value_start] == ' ' || bytes[value_start] == '\t')) value_start += 1;
        size_t next = value_end + 2;
        while (value_end > value_start && (bytes[value_end - 1] == ' ' || bytes[value_end - 1] == '\t')) value_end -= 1;
        struct millrace_http_field *field = fields + count;
        field->name_start = (uint32_t)line;
        field->name_end = (uint32_t)name_end;
        field->value_start = (uint32_t)value_start;
        field->value_end = (uint32_t)value_end;
        field->name = millrace_http_name(bytes + line, name_end - line);
        line = next;
        count += 1;
    }
    *position = line;
    return count;
}

#endif
