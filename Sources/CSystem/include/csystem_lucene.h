#ifndef MILLRACE_CSYSTEM_LUCENE_H
#define MILLRACE_CSYSTEM_LUCENE_H

#include "csystem_io.h"
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/// Compressed length of the LZ4 block at `in` that decompresses to exactly `out_count` bytes, or 0 when it does not
/// within `in_count` bytes. Only the lengths of the sequences are walked, nothing is copied: Lucene up to 8.6 stores no
/// compressed length, and a sliced chunk has several blocks one after the other.
static inline size_t millrace_lz4_block_length(const uint8_t *in, size_t in_count, size_t out_count) {
    size_t position = 0, produced = 0;
    while (position < in_count) {
        uint8_t token = in[position++];
        size_t literals = token >> 4;
        if (literals == 15) {
            uint8_t more;
            do {
                if (position >= in_count) return 0;
                more = in[position++];
                literals += more;
            } while (more == 255);
        }
        if (literals > in_count - position || literals > out_count - produced) return 0;
        position += literals;
        produced += literals;
        if (produced == out_count) return position;
        if (in_count - position < 2) return 0;
        position += 2;
        size_t match = token & 15;
        if (match == 15) {
            uint8_t more;
            do {
                if (position >= in_count) return 0;
                more = in[position++];
                match += more;
            } while (more == 255);
        }
        match += 4;
        if (match > out_count - produced) return 0;
        produced += match;
    }
    return 0;
}

#endif
