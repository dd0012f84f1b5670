/// Terminals: `ioctl` is variadic, which Swift cannot call.
#ifndef MILLRACE_CSYSTEM_TERMINAL_H
#define MILLRACE_CSYSTEM_TERMINAL_H

#include <sys/ioctl.h>

/// Columns of the terminal behind a descriptor; 0 when it is none or does not tell.
static inline int millrace_terminal_columns(int fd) {
    struct winsize size;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

#endif
