import Glibc
import Telemetry

// The operator's tool: one-shot questions about what is to be migrated.
exit(Tool.run(arguments: Array(CommandLine.arguments.dropFirst())))
