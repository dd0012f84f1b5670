/// Linux system calls and constants that Swift's Glibc overlay does not show.
#ifndef MILLRACE_CSYSTEM_IO_H
#define MILLRACE_CSYSTEM_IO_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#endif
