/// gzip files of any size, piece by piece, members one behind the other (RFC 1952 §2.2).
#ifndef MILLRACE_CISAL_GUNZIP_STREAM_H
#define MILLRACE_CISAL_GUNZIP_STREAM_H

#include "shim.h"

struct millrace_gunzip_stream {
    struct inflate_state state;
    int is_between_members;
};

/// Not shared between threads. NULL when memory is out.
static inline void *millrace_gunzip_stream_new(void) {
    struct millrace_gunzip_stream *stream = (struct millrace_gunzip_stream *)malloc(sizeof *stream);
    if (!stream) return NULL;
    isal_inflate_init(&stream->state);
    stream->state.crc_flag = IGZIP_GZIP;
    stream->is_between_members = 1;
    return stream;
}
static inline void millrace_gunzip_stream_free(void *stream) { free(stream); }

/// The input so far ended with a whole member: the file may end here.
static inline int millrace_gunzip_stream_may_end(const void *stream) {
    return ((const struct millrace_gunzip_stream *)stream)->is_between_members;
}

/// Inflates from `in` into `out` until one of both is used up; with `one_member`, also at the end of a member. Returns
/// 0, or isa-l's code when the bytes are no gzip or a checksum is wrong.
static inline int millrace_gunzip_stream_run(
    void *memory, const uint8_t *in, size_t in_count, size_t *consumed, uint8_t *out, size_t out_count,
    size_t *written, int one_member) {
    struct millrace_gunzip_stream *stream = (struct millrace_gunzip_stream *)memory;
    struct inflate_state *state = &stream->state;
    state->next_in = (uint8_t *)(uintptr_t)in;
    state->avail_in = (uint32_t)in_count;
    state->next_out = out;
    state->avail_out = (uint32_t)out_count;
    int code = ISAL_DECOMP_OK;
    for (;;) {
        if (stream->is_between_members) {
            if (state->avail_in == 0) break;
            isal_inflate_reset(state);
            state->crc_flag = IGZIP_GZIP;
            stream->is_between_members = 0;
        }
        code = isal_inflate(state);
        if (code != ISAL_DECOMP_OK) break;
        if (state->block_state == ISAL_BLOCK_FINISH) {
            stream->is_between_members = 1;
            if (one_member) break;
            continue;
        }
        if (state->avail_in == 0 || state->avail_out == 0) break;
    }
    *consumed = in_count - state->avail_in;
    *written = out_count - state->avail_out;
    return code;
}

static inline int millrace_gunzip_stream_next(
    void *memory, const uint8_t *in, size_t in_count, size_t *consumed, uint8_t *out, size_t out_count,
    size_t *written) {
    return millrace_gunzip_stream_run(memory, in, in_count, consumed, out, out_count, written, 0);
}

static inline int millrace_gunzip_stream_member(
    void *memory, const uint8_t *in, size_t in_count, size_t *consumed, uint8_t *out, size_t out_count,
    size_t *written) {
    return millrace_gunzip_stream_run(memory, in, in_count, consumed, out, out_count, written, 1);
}

#endif
