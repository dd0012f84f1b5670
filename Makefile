# What a person types. `make help` lists it; the programs land in .build/release.
#
# A Swift toolchain (6.2 or newer) on the PATH is used as it is. Without one, .ci/swift-env makes a Debian root that has
# one, once; programs built there name that root's loader and libraries, so that they run outside of it as well.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

swift_env := .ci/swift-env
strict := -Xswiftc -warnings-as-errors --explicit-target-dependency-import-check error
jobs ?= $(shell nproc)
# Clang 17's sanitizer runtimes ask for the size of an ioctl's argument that glibc 2.42 no longer has. Any number does.
sanitizer := -Xlinker --defsym=_ZN11__sanitizer16struct_termio_szE=_ZN11__sanitizer17struct_termios_szE

.PHONY: help build test unit asan tsan verify integration fuzz bench demo format lint clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

build: ## release build of millraced, millrace and the benchmarks
	.ci/build-release

demo: ## install, build, start a target, backfill a snapshot into it, show what arrived
	deploy/demo

test: unit verify integration asan ## everything that needs no outside service, and each service it finds

unit: ## unit, property, flow, layout and conformance tests
	$(swift_env) swift build --build-tests -j $(jobs) $(strict)
	$(swift_env) swift test --skip-build --parallel

asan: ## the format tests under the address sanitizer
	$(swift_env) env ASAN_OPTIONS=detect_leaks=0 SWIFT_BACKTRACE=enable=no swift test --sanitize=address $(sanitizer) \
		--build-path .build/asan --parallel -j $(jobs) \
		--filter 'JSONBytesTests|BulkFormatTests|HTTPMessageTests|TransformTests|SnapshotFormatTests|LuceneFormatTests' \
		--filter TupleFormatTests

tsan: ## the tests with threads in them under the thread sanitizer
	$(swift_env) env SWIFT_BACKTRACE=enable=no TSAN_OPTIONS=suppressions=$(CURDIR)/Tests/tsan.suppressions \
		swift test --sanitize=thread $(sanitizer) --build-path .build/tsan -j $(jobs) \
		--filter 'EventIOTests|ClusterClientTests|BackfillTests|TelemetryTests|SegmentVerificationTests|ReplayTests'

verify: build ## the built program against every snapshot in ../shared/fixtures, when that folder is there
	.ci/verify

integration: build ## the built program against real services that are found (MILLRACE_OPENSEARCH_URL, MILLRACE_KAFKA)
	.ci/integration

fuzz: ## every fuzz target for SECONDS seconds (default 60)
	.ci/fuzz

bench: build ## what this machine does, and the inner steps beside it
	.build/release/millrace-bench machine

format: ## put the sources into the house style
	$(swift_env) swift format --in-place --parallel --recursive Package.swift Sources Tests Benchmarks

lint: ## what `make format` would change
	$(swift_env) swift format lint --strict --parallel --recursive Package.swift Sources Tests Benchmarks

clean: ## remove what was built
	rm -rf .build
