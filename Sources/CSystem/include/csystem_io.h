/// Linux system calls and constants that Swift's Glibc overlay does not show.
#ifndef MILLRACE_CSYSTEM_IO_H
#define MILLRACE_CSYSTEM_IO_H

// _GNU_SOURCE is never defined here: it changes `fd_set`, and a module that imports Glibc as well then fails to build.
// What needs it stands in CSystem.c, with its prototype here.
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#endif
