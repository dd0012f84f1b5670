#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "CSystem.h"

#include <malloc.h>
#include <pthread.h>

void millrace_set_thread_name(const char *name) { pthread_setname_np(pthread_self(), name); }

void millrace_limit_heaps(int count) { mallopt(M_ARENA_MAX, count); }

int millrace_accept(int fd, struct sockaddr *address, socklen_t *size) {
    return accept4(fd, address, size, SOCK_NONBLOCK | SOCK_CLOEXEC);
}
