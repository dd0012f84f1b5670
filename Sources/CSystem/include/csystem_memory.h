/// Memory by pages, apart from the allocator's heap.
#ifndef MILLRACE_CSYSTEM_MEMORY_H
#define MILLRACE_CSYSTEM_MEMORY_H

#include <stddef.h>
#include <sys/mman.h>

/// Zeroed pages for `count` bytes, or NULL.
static inline void *millrace_map_pages(ptrdiff_t count) {
	void *base = mmap(NULL, (size_t)count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return base == MAP_FAILED ? NULL : base;
}

/// The addresses stay usable; what was there reads as zero afterwards.
static inline void millrace_release_pages(void *base, ptrdiff_t count) { madvise(base, (size_t)count, MADV_DONTNEED); }

static inline void millrace_unmap_pages(void *base, ptrdiff_t count) { munmap(base, (size_t)count); }

#endif
