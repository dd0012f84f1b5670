/// How a segment is laid out.
package struct SegmentLayout: Sendable {
    package var codec: StoredFieldsCodec
    /// In one `.cfs`, as flushed segments are, or in files of their own, as large merged ones are.
    package var isCompound: Bool
    /// Names of the stored fields in the order of their numbers, which is the order of creation.
    package var fieldNames: [String]

    package init(codec: StoredFieldsCodec = .lz4, isCompound: Bool = false, fieldNames: [String] = SegmentLayout.fields)
    {
        self.codec = codec
        self.isCompound = isCompound
        self.fieldNames = fieldNames
    }

    /// The stored fields of an index from version 6 on.
    package static let fields = ["_id", "_routing", "_source"]
}

/// What `segments_N` says about a written segment.
package struct WrittenSegment: Sendable {
    package let name: String
    package let id: [UInt8]
    package let documentCount: Int
    package let deletedCount: Int
}

/// A file of a shard as written, for the shard's snapshot.
package struct WrittenLuceneFile: Sendable {
    package let name: String
    package let path: String
    package let length: Int64
    package let footerChecksum: UInt32
}

/// One segment in the layout of Lucene 9.12, at the level of bytes: stored fields only, no postings, no doc values.
/// Use: add documents to `documents`, then `finish`.
package final class SegmentWriter {
    package let name: String
    package let documents: StoredFieldsWriter
    package var files: [WrittenLuceneFile] = []
    private let layout: SegmentLayout
    private let id: [UInt8]
    /// Path and part size of a file by its Lucene name.
    private let place: (String) -> (path: String, partBytes: Int64)
    private let outputs: OutputList

    /// Outputs opened by the stored fields' writer, in the order of opening.
    private final class OutputList { var named: [(name: String, output: LuceneFileOutput)] = [] }

    /// `place` gives every file of the segment its path. With a compound layout the parts are first written there too,
    /// then copied into the `.cfs` and removed.
    package init(
        name: String, id: [UInt8], layout: SegmentLayout, place: @escaping (String) -> (path: String, partBytes: Int64)
    ) throws {
        self.name = name
        self.id = id
        self.layout = layout
        self.place = place
        let outputs = OutputList()
        self.outputs = outputs
        let isCompound = layout.isCompound
        func output(_ file: String) throws -> LuceneFileOutput {
            let place = place(file)
            let output = try LuceneFileOutput(path: place.path, partBytes: isCompound ? .max : place.partBytes)
            outputs.named.append((file, output))
            return output
        }
        documents = try StoredFieldsWriter(codec: layout.codec, id: id, data: output("\(name).fdt")) {
            (try output("\(name).fdx"), try output("\(name).fdm"))
        }
    }

    /// The number of a stored field; the name must be one of the layout's.
    package func field(_ name: String) -> Int {
        guard let number = layout.fieldNames.firstIndex(of: name) else {
            preconditionFailure("no field \(name) in \(layout.fieldNames)")
        }
        return number
    }

    /// A document with an id, perhaps a routing and a source, in the engine's order of fields.
    package func add(id: [UInt8], routing: [UInt8]? = nil, source: UnsafeRawBufferPointer?) throws {
        id.withUnsafeBytes { documents.add(field("_id"), bytes: $0) }
        routing?.withUnsafeBytes { documents.add(field("_routing"), string: $0) }
        if let source { documents.add(field("_source"), bytes: source) }
        try documents.endDocument()
    }

    package func add(id: String, routing: String? = nil, source: [UInt8]?) throws {
        let encoded = StoredDocumentID.encode(id)
        guard let source else { return try add(id: encoded, routing: routing.map { Array($0.utf8) }, source: nil) }
        try source.withUnsafeBytes { try add(id: encoded, routing: routing.map { Array($0.utf8) }, source: $0) }
    }

    /// Writes what is left of the segment; `isDeleted` says of each document id whether a `.liv` file takes it out.
    package func finish(isDeleted: ((Int) -> Bool)? = nil) throws -> WrittenSegment {
        try documents.finish()
        try writeFieldInfos()
        var inner = outputs.named
        if layout.isCompound { inner = try writeCompound(inner) }
        files = inner.map { written($0.name, $0.output) }
        let maxDoc = documents.documentCount
        var deletedCount = 0
        if let isDeleted { deletedCount = try writeLiveDocuments(maxDoc, isDeleted) }
        try writeSegmentInfo(files: inner.map(\.name))
        return WrittenSegment(name: name, id: id, documentCount: maxDoc, deletedCount: deletedCount)
    }

    private func written(_ name: String, _ output: LuceneFileOutput) -> WrittenLuceneFile {
        WrittenLuceneFile(
            name: name, path: output.path, length: output.length, footerChecksum: output.footerChecksum)
    }

    private func writeSmall(_ file: String, _ build: (inout LuceneBytes) -> Void) throws -> LuceneFileOutput {
        let place = place(file)
        let output = try LuceneFileOutput(path: place.path, partBytes: place.partBytes)
        try output.write(build)
        try output.writeFooter()
        try output.finish()
        return output
    }

    private func writeFieldInfos() throws {
        let file = "\(name).fnm"
        let output = try writeSmall(file) {
            $0.indexHeader("Lucene94FieldInfos", version: 1, id: id)
            $0.varInt(layout.fieldNames.count)
            for (number, fieldName) in layout.fieldNames.enumerated() {
                $0.string(fieldName)
                $0.varInt(number)
                $0.raw([0, 0, 0])  // no term vectors, norms or payloads; not indexed; no doc values
                $0.int64(-1)
                $0.map([])
                $0.varInt(0)  // no points
                $0.varInt(0)  // no vectors, which would be of floats, Euclidean
                $0.raw([1, 0])
            }
        }
        outputs.named.append((file, output))
    }

    /// Lucene90LiveDocsFormat: a bit a document, 1 while it lives.
    private func writeLiveDocuments(_ maxDoc: Int, _ isDeleted: (Int) -> Bool) throws -> Int {
        var words = [UInt64](repeating: 0, count: (maxDoc + 63) / 64)
        var deletedCount = 0
        for document in 0..<maxDoc {
            if isDeleted(document) { deletedCount += 1 } else { words[document / 64] |= 1 << UInt64(document % 64) }
        }
        if deletedCount == 0 { return 0 }
        let file = "\(name)_1.liv"
        let output = try writeSmall(file) {
            $0.indexHeader("Lucene90LiveDocs", version: 0, id: id, suffix: "1")
            for word in words { $0.int64(Int64(bitPattern: word)) }
        }
        files.append(written(file, output))
        return deletedCount
    }

    /// Lucene99SegmentInfoFormat.
    private func writeSegmentInfo(files inner: [String]) throws {
        let file = "\(name).si"
        let output = try writeSmall(file) {
            $0.indexHeader("Lucene90SegmentInfo", version: 0, id: id)
            for number in WrittenLuceneVersion.numbers { $0.int32(number) }
            $0.byte(1)
            for number in WrittenLuceneVersion.numbers { $0.int32(number) }
            $0.int32(documents.documentCount)
            $0.byte(layout.isCompound ? 1 : 0xFF)
            $0.byte(0xFF)  // holds no blocks of documents
            $0.map([("source", "flush"), ("lucene.version", WrittenLuceneVersion.text)])
            $0.strings(inner + [file])
            $0.map([("Lucene90StoredFieldsFormat.mode", layout.codec.modeAttribute)])
            $0.varInt(0)  // not sorted
        }
        files.append(written(file, output))
    }

    /// Lucene90CompoundFormat: whole files one after another, each at a multiple of eight.
    private func writeCompound(
        _ inner: [(name: String, output: LuceneFileOutput)]
    ) throws -> [(name: String, output: LuceneFileOutput)] {
        let dataPlace = place("\(name).cfs")
        let data = try LuceneFileOutput(path: dataPlace.path, partBytes: dataPlace.partBytes)
        try data.write { $0.indexHeader("Lucene90CompoundData", version: 0, id: id) }
        var entries: [(name: String, start: Int64, length: Int64)] = []
        for file in inner.sorted(by: { $0.output.length < $1.output.length }) {
            try data.write([UInt8](repeating: 0, count: Int(-data.length & 7)))
            entries.append((String(file.name.dropFirst(name.count)), data.length, file.output.length))
            try FileTree.forEachPiece(of: file.output.path) { try data.write($0) }
            FileTree.remove(file.output.path)
        }
        try data.writeFooter()
        try data.finish()
        let table = try writeSmall("\(name).cfe") {
            $0.indexHeader("Lucene90CompoundEntries", version: 0, id: id)
            $0.varInt(entries.count)
            for entry in entries {
                $0.string(entry.name)
                $0.int64(entry.start)
                $0.int64(entry.length)
            }
        }
        return [("\(name).cfs", data), ("\(name).cfe", table)]
    }
}

/// The Lucene that the written files claim to be of.
package enum WrittenLuceneVersion {
    package static let numbers = [9, 12, 1]
    package static let text = "9.12.1"
}

/// `segments_N`, format 10 (org.apache.lucene.index.SegmentInfos).
package enum SegmentInfosWriter {
    package static func encode(
        generation: Int, id: [UInt8], segments: [WrittenSegment], userData: [(String, String)],
        codecName: String = "Lucene912"
    ) -> [UInt8] {
        var bytes = LuceneBytes()
        bytes.indexHeader("segments", version: 10, id: id, suffix: base36(generation))
        for number in WrittenLuceneVersion.numbers { bytes.varInt(number) }
        bytes.varInt(9)
        bytes.bigInt64(Int64(generation + segments.count))
        bytes.varInt(segments.count)
        bytes.bigInt32(segments.count)
        if !segments.isEmpty { for number in WrittenLuceneVersion.numbers { bytes.varInt(number) } }
        for segment in segments {
            bytes.string(segment.name)
            bytes.raw(segment.id)
            bytes.string(codecName)
            bytes.bigInt64(segment.deletedCount > 0 ? 1 : -1)
            bytes.bigInt32(segment.deletedCount)
            bytes.bigInt64(-1)  // no later generation of field infos
            bytes.bigInt64(-1)  // nor of doc values
            bytes.bigInt32(0)  // no soft deletes
            bytes.byte(1)
            bytes.raw(segment.id)  // the commit's id of the segment: any 16 bytes
            bytes.strings([])
            bytes.bigInt32(0)
        }
        bytes.map(userData)
        bytes.footer()
        return bytes.bytes
    }
}
