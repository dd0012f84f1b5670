/// Threads and their memory: what Swift's Glibc overlay does not show.
#ifndef MILLRACE_CSYSTEM_THREAD_H
#define MILLRACE_CSYSTEM_THREAD_H

/// Names the calling thread (at most 15 bytes are kept by the kernel).
void millrace_set_thread_name(const char *name);

/// Bounds how many heaps the allocator makes for the threads of the process (M_ARENA_MAX). Before there are threads.
void millrace_limit_heaps(int count);

#endif
