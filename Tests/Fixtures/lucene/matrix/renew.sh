#!/usr/bin/env bash
# Writes indices with many versions of Lucene, and beside each a list of what that Lucene reads back from it.
#
# usage: renew.sh OUTPUT [VERSION...]
#
# Needs Maven, and a JDK: 17 for Lucene 7 to 9, 21 or newer for Lucene 10. MILLRACE_JDK and MILLRACE_JDK21 name their
# folders; without them the `java` on the PATH is used. Then:
#
#   MILLRACE_LUCENE_MATRIX=OUTPUT swift test --filter LuceneMatrixTests
#
# MILLRACE_VARIANTS (such as "basic,sliced") restricts the variants; with it nothing is upgraded.
set -euo pipefail

output=${1:?usage: renew.sh OUTPUT [VERSION...]}
shift
versions=("$@")
((${#versions[@]})) || versions=(
	7.0.1 7.4.0 7.7.3 8.0.0 8.1.1 8.2.0 8.3.1 8.4.1 8.5.0 8.5.2 8.6.0 8.6.3 8.7.0 8.8.2 8.9.0 8.10.1 8.11.4
	9.0.0 9.1.0 9.2.0 9.3.0 9.4.2 9.5.0 9.6.0 9.7.0 9.8.0 9.9.2 9.10.0 9.11.1 9.12.3
	10.0.0 10.1.0 10.2.2 10.3.0 10.3.2 10.4.0
)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$HOME/.m2/repository
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$output"
output=$(cd "$output" && pwd)

# The path of a jar, fetched unless it is there.
jar() {
	local file=$repository/org/apache/lucene/$1/$2/$1-$2.jar
	[[ -e $file ]] || mvn -q -B dependency:get "-Dartifact=org.apache.lucene:$1:$2" -Dtransitive=false >&2
	echo "$file"
}

older=()
for version in "${versions[@]}"; do
	jdk=${MILLRACE_JDK:-}
	((${version%%.*} < 10)) || jdk=${MILLRACE_JDK21:-$jdk}
	tools=${jdk:+$jdk/bin/}
	path=$(jar lucene-core "$version")
	((${version%%.*} < 8)) || path+=:$(jar lucene-backward-codecs "$version")
	mkdir -p "$work/$version"
	"${tools}javac" -nowarn -Xlint:none -d "$work/$version" -cp "$path" "$here"/*.java
	"${tools}java" -Xmx4g -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$work/$version:$path" LuceneMatrix \
		"$output" "${MILLRACE_VARIANTS:-all}" ${older[@]+"${older[@]}"} >"$work/log" 2>&1 || true
	cat "$work/log" >>"$output/log"
	echo "$version: $(ls "$output" | grep -c "^$version-.*\.tsv$") indices, $(grep -c '^FAILED' "$work/log") failed"
	[[ -n ${MILLRACE_VARIANTS:-} ]] || older=("$output" "$version")
done
