// Fuzz targets, in two builds.
//
// Plain:    millrace-fuzz TARGET FILE…              runs the target over each file
// FUZZING:  millrace-fuzz TARGET [libFuzzer option or folder]…   lets libFuzzer look for a failing input (.ci/fuzz)
// Both:     millrace-fuzz --list                    prints the targets, one a line
import Glibc

let arguments = CommandLine.arguments

guard arguments.count > 1 else { FuzzRun.stop("usage: millrace-fuzz TARGET [argument]… | --list") }
if arguments[1] == "--list" {
    for target in FuzzTargets.all { print(target.key) }
    exit(0)
}
guard let target = FuzzTargets.named(arguments[1]) else { FuzzRun.stop("no target \(arguments[1])") }
#if FUZZING
    FuzzRun.drive(target, arguments: [arguments[0]] + arguments.dropFirst(2))
#else
    FuzzRun.replay(target, files: arguments.dropFirst(2))
#endif
