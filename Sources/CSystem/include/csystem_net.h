/// Sockets, epoll and timers: what Swift cannot import (macros, packed structures, functions behind _GNU_SOURCE).
#ifndef MILLRACE_CSYSTEM_NET_H
#define MILLRACE_CSYSTEM_NET_H

#include "csystem_io.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <string.h>
#include <sys/timerfd.h>

static const uint32_t millrace_epoll_in = (uint32_t)EPOLLIN;
static const uint32_t millrace_epoll_out = (uint32_t)EPOLLOUT;
static const uint32_t millrace_epoll_rdhup = (uint32_t)EPOLLRDHUP;
static const uint32_t millrace_epoll_hup = (uint32_t)EPOLLHUP;
static const uint32_t millrace_epoll_err = (uint32_t)EPOLLERR;
static const uint32_t millrace_epoll_et = (uint32_t)EPOLLET;

/// An epoll instance, or -1 with errno.
static inline int millrace_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

/// Registers `fd`; `token` comes back with its events. 0 or -1 with errno.
static inline int millrace_epoll_add(int epoll, int fd, uint32_t events, uint64_t token) {
    struct epoll_event event;
    event.events = events;
    event.data.u64 = token;
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static inline int millrace_epoll_remove(int epoll, int fd) { return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL); }

// `struct epoll_event` is packed on x86-64; its fields are read here so that Swift needs no opinion on that.
static inline uint32_t millrace_event_mask(const struct epoll_event *event) { return event->events; }
static inline uint64_t millrace_event_token(const struct epoll_event *event) { return event->data.u64; }

/// A timer descriptor of the monotonic clock, or -1 with errno.
static inline int millrace_timerfd(void) { return timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC); }

/// Arms a timer descriptor for an absolute time of the monotonic clock; 0 is taken as 1, which is the past.
static inline int millrace_timerfd_arm(int fd, uint64_t nanoseconds) {
    struct itimerspec value;
    memset(&value, 0, sizeof value);
    if (nanoseconds == 0) nanoseconds = 1;
    value.it_value.tv_sec = (time_t)(nanoseconds / 1000000000u);
    value.it_value.tv_nsec = (long)(nanoseconds % 1000000000u);
    return timerfd_settime(fd, TFD_TIMER_ABSTIME, &value, 0);
}

/// An eventfd that never blocks, or -1 with errno.
static inline int millrace_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

/// A non-blocking stream socket, or -1 with errno.
static inline int millrace_stream_socket(int family) {
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static inline int millrace_set_option(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value);
}

/// The pending error of a socket (SO_ERROR), which is cleared by the call.
static inline int millrace_socket_error(int fd) {
    int value = 0;
    socklen_t size = sizeof value;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &size) != 0) return errno;
    return value;
}

/// Makes close() send a reset.
static inline int millrace_set_reset_on_close(int fd) {
    struct linger value = {1, 0};
    return setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof value);
}

/// accept4 with SOCK_NONBLOCK | SOCK_CLOEXEC.
int millrace_accept(int fd, struct sockaddr *address, socklen_t *size);

#endif
