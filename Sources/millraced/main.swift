import Glibc
import Settings

// The data-plane daemon: one role a process, chosen by the first argument.
exit(Daemon.run(arguments: Array(CommandLine.arguments.dropFirst())))
