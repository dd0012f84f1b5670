/// Linux system calls and constants that Swift's Glibc overlay does not show.
#ifndef MILLRACE_CSYSTEM_IO_H
#define MILLRACE_CSYSTEM_IO_H

// _GNU_SOURCE is never defined here: it changes `fd_set`, and a module that imports Glibc as well then fails to build.
// What needs it stands in CSystem.c, with its prototype here.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/// Raises the soft limit of open descriptors to the hard one. Returns what it is now; LONG_MAX without a limit.
static inline long millrace_raise_descriptor_limit(void) {
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return LONG_MAX;
	if (limit.rlim_cur != limit.rlim_max) {
		struct rlimit raised = {limit.rlim_max, limit.rlim_max};
		if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
	}
	return limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > LONG_MAX ? LONG_MAX : (long)limit.rlim_cur;
}

#endif
