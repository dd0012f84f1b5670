/// Threads: what Swift's Glibc overlay does not show.
#ifndef MILLRACE_CSYSTEM_THREAD_H
#define MILLRACE_CSYSTEM_THREAD_H

/// Names the calling thread (at most 15 bytes are kept by the kernel).
void millrace_set_thread_name(const char *name);

#endif
