/// isa-l: inflate with a preset dictionary, level-1 gzip, CRC-32. Its state structures hold arrays that Swift cannot
/// import, so they are made and driven here.
#ifndef MILLRACE_CISAL_H
#define MILLRACE_CISAL_H

#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/// Memory for one inflate at a time; not shared between threads. NULL when memory is out.
static inline struct inflate_state *millrace_inflate_new(void) {
    return (struct inflate_state *)malloc(sizeof(struct inflate_state));
}
static inline void millrace_inflate_free(struct inflate_state *state) { free(state); }

/// Inflates one whole raw DEFLATE stream (RFC 1951) into `out`, with `dictionary` (at most 32 KiB of it) as history.
/// Returns 0 and the number of bytes written when the stream ended cleanly, an isa-l code otherwise
/// (ISAL_END_INPUT when the input is cut off, ISAL_OUT_OVERFLOW when `out` is too small).
static inline int millrace_inflate_raw(
    struct inflate_state *state, const uint8_t *in, size_t in_count, uint8_t *out, size_t out_count,
    const uint8_t *dictionary, size_t dictionary_count, size_t *written) {
    isal_inflate_init(state);
    if (dictionary_count > 0) {
        size_t skip = dictionary_count > ISAL_DEF_HIST_SIZE ? dictionary_count - ISAL_DEF_HIST_SIZE : 0;
        int code = isal_inflate_set_dict(
            state, (uint8_t *)(uintptr_t)(dictionary + skip), (uint32_t)(dictionary_count - skip));
        if (code != ISAL_DECOMP_OK) return code;
    }
    state->next_in = (uint8_t *)(uintptr_t)in;
    state->avail_in = (uint32_t)in_count;
    state->next_out = out;
    state->avail_out = (uint32_t)out_count;
    int code = isal_inflate(state);
    *written = out_count - state->avail_out;
    if (code != ISAL_DECOMP_OK) return code;
    if (state->block_state == ISAL_BLOCK_FINISH) return 0;
    return state->avail_out == 0 ? ISAL_OUT_OVERFLOW : ISAL_END_INPUT;
}

/// Bytes that `millrace_gzip` needs at the most for `count` bytes of input.
static inline size_t millrace_gzip_bound(size_t count) { return count + count / 64 + 1024; }

/// Forms of a compressed message body: gzip (RFC 1952), zlib (RFC 1950), raw DEFLATE (RFC 1951).
enum { MILLRACE_CODING_GZIP = 0, MILLRACE_CODING_ZLIB = 1, MILLRACE_CODING_RAW = 2 };

/// The whole of `in` in one of these forms, level 1. Returns the number of bytes written, 0 when memory is out or `out`
/// is too small (`millrace_gzip_bound` is enough).
static inline size_t millrace_compress(
    int coding, const uint8_t *in, size_t in_count, uint8_t *out, size_t out_count) {
    size_t level_bytes = ISAL_DEF_LVL1_DEFAULT;
    struct isal_zstream *stream = (struct isal_zstream *)malloc(sizeof(struct isal_zstream) + level_bytes);
    if (!stream) return 0;
    isal_deflate_init(stream);
    stream->level = 1;
    stream->level_buf = (uint8_t *)(stream + 1);
    stream->level_buf_size = (uint32_t)level_bytes;
    stream->gzip_flag = coding == MILLRACE_CODING_GZIP ? IGZIP_GZIP
                        : coding == MILLRACE_CODING_ZLIB ? IGZIP_ZLIB : IGZIP_DEFLATE;
    stream->end_of_stream = 1;
    stream->flush = NO_FLUSH;
    stream->next_in = (uint8_t *)(uintptr_t)in;
    stream->avail_in = (uint32_t)in_count;
    stream->next_out = out;
    stream->avail_out = (uint32_t)out_count;
    int code = isal_deflate(stream);
    size_t written = code == COMP_OK && stream->internal_state.state == ZSTATE_END ? stream->total_out : 0;
    free(stream);
    return written;
}

/// A whole gzip member of `in`, level 1, as `millrace_compress`.
static inline size_t millrace_gzip(const uint8_t *in, size_t in_count, uint8_t *out, size_t out_count) {
    return millrace_compress(MILLRACE_CODING_GZIP, in, in_count, out, out_count);
}

/// What became of `millrace_decompress`.
enum {
    MILLRACE_DECOMPRESSED = 0,
    MILLRACE_DECOMPRESS_NO_MEMORY,
    MILLRACE_DECOMPRESS_CORRUPT,
    MILLRACE_DECOMPRESS_CUT_OFF,
    MILLRACE_DECOMPRESS_TOO_LARGE,  // more than `limit` bytes
};

/// Inflates a whole body in one of the forms into memory that the caller frees (`*out`, set on success only). What
/// follows the stream's end is passed over, as the engines do. `*consumed` is where reading stopped.
static inline int millrace_decompress(
    int coding, const uint8_t *in, size_t in_count, size_t limit, uint8_t **out, size_t *out_count, size_t *consumed) {
    *consumed = 0;
    struct inflate_state *state = millrace_inflate_new();
    if (!state) return MILLRACE_DECOMPRESS_NO_MEMORY;
    isal_inflate_init(state);
    state->crc_flag = coding == MILLRACE_CODING_GZIP ? ISAL_GZIP
                      : coding == MILLRACE_CODING_ZLIB ? ISAL_ZLIB : ISAL_DEFLATE;
    state->next_in = (uint8_t *)(uintptr_t)in;
    state->avail_in = (uint32_t)in_count;
    size_t capacity = in_count * 4 + 1024, count = 0;
    if (capacity > limit) capacity = limit;
    int outcome = MILLRACE_DECOMPRESS_NO_MEMORY;
    uint8_t *memory = (uint8_t *)malloc(capacity ? capacity : 1);
    while (memory) {
        state->next_out = memory + count;
        state->avail_out = (uint32_t)(capacity - count);
        int code = isal_inflate(state);
        count = capacity - state->avail_out;
        *consumed = in_count - state->avail_in;
        outcome = MILLRACE_DECOMPRESS_CORRUPT;
        if (code != ISAL_DECOMP_OK && code != ISAL_END_INPUT && code != ISAL_OUT_OVERFLOW) break;
        if (state->block_state == ISAL_BLOCK_FINISH) {
            outcome = MILLRACE_DECOMPRESSED;
            break;
        }
        outcome = MILLRACE_DECOMPRESS_CUT_OFF;
        if (state->avail_out > 0) break;
        outcome = MILLRACE_DECOMPRESS_TOO_LARGE;
        if (capacity == limit) break;
        capacity = capacity > limit / 2 ? limit : capacity * 2;
        outcome = MILLRACE_DECOMPRESS_NO_MEMORY;
        uint8_t *grown = (uint8_t *)realloc(memory, capacity);
        if (!grown) break;
        memory = grown;
    }
    millrace_inflate_free(state);
    if (outcome == MILLRACE_DECOMPRESSED) {
        *out = memory;
        *out_count = count;
    } else {
        free(memory);
    }
    return outcome;
}

/// Inflates a whole body into memory that the caller frees. Returns NULL when it is something else, is cut off or holds
/// more than `limit` bytes; `out_count` is `limit` in the last case and 0 in the others.
static inline uint8_t *millrace_inflate_whole(
    int coding, const uint8_t *in, size_t in_count, size_t limit, size_t *out_count) {
    uint8_t *out = NULL;
    size_t consumed;
    int outcome = millrace_decompress(coding, in, in_count, limit, &out, out_count, &consumed);
    if (outcome == MILLRACE_DECOMPRESSED) return out;
    *out_count = outcome == MILLRACE_DECOMPRESS_TOO_LARGE ? limit : 0;
    return NULL;
}

/// The same for a gzip body (RFC 1952).
static inline uint8_t *millrace_gunzip(const uint8_t *in, size_t in_count, size_t limit, size_t *out_count) {
    return millrace_inflate_whole(MILLRACE_CODING_GZIP, in, in_count, limit, out_count);
}

/// The same for the content coding `deflate`: zlib (RFC 1950), or a bare DEFLATE stream, which some senders mean by it
/// (RFC 9110 section 8.4.1.2).
static inline uint8_t *millrace_inflate_coding(const uint8_t *in, size_t in_count, size_t limit, size_t *out_count) {
    uint8_t *out = millrace_inflate_whole(MILLRACE_CODING_ZLIB, in, in_count, limit, out_count);
    if (out || *out_count == limit) return out;
    return millrace_inflate_whole(MILLRACE_CODING_RAW, in, in_count, limit, out_count);
}

/// Memory for raw DEFLATE at isa-l's level 3, the densest it has; one stream at a time, not shared between threads.
struct millrace_deflate {
    struct isal_zstream stream;
    uint8_t level_buffer[ISAL_DEF_LVL3_DEFAULT];
};
static inline void *millrace_deflate_new(void) { return malloc(sizeof(struct millrace_deflate)); }
static inline void millrace_deflate_free(void *deflate) { free(deflate); }

/// One whole raw DEFLATE stream of `in`, with `dictionary` (at most 32 KiB of it) as history. Returns the number of
/// bytes written, 0 when `out` is too small (`millrace_gzip_bound` is enough).
static inline size_t millrace_deflate_raw(
    void *memory, const uint8_t *in, size_t in_count, const uint8_t *dictionary, size_t dictionary_count, uint8_t *out,
    size_t out_count) {
    struct millrace_deflate *deflate = (struct millrace_deflate *)memory;
    struct isal_zstream *stream = &deflate->stream;
    isal_deflate_init(stream);
    stream->level = 3;
    stream->level_buf = deflate->level_buffer;
    stream->level_buf_size = sizeof deflate->level_buffer;
    stream->gzip_flag = IGZIP_DEFLATE;
    stream->end_of_stream = 1;
    stream->flush = NO_FLUSH;
    if (dictionary_count > 0) {
        size_t skip = dictionary_count > ISAL_DEF_HIST_SIZE ? dictionary_count - ISAL_DEF_HIST_SIZE : 0;
        uint8_t *kept = (uint8_t *)(uintptr_t)(dictionary + skip);
        if (isal_deflate_set_dict(stream, kept, (uint32_t)(dictionary_count - skip)) != COMP_OK) return 0;
    }
    stream->next_in = (uint8_t *)(uintptr_t)in;
    stream->avail_in = (uint32_t)in_count;
    stream->next_out = out;
    stream->avail_out = (uint32_t)out_count;
    int code = isal_deflate(stream);
    return code == COMP_OK && stream->internal_state.state == ZSTATE_END ? stream->total_out : 0;
}

/// CRC-32 of zlib, java.util.zip.CRC32 and RFC 1952; `seed` is 0 at first, then the previous result.
static inline uint32_t millrace_crc32(uint32_t seed, const uint8_t *bytes, size_t count) {
    return crc32_gzip_refl(seed, bytes, count);
}

#endif
