/// Writes the action line of one `index` operation of a `_bulk` body.
///
/// Layout: `\n{"index":{"_id":"…","routing":"…"}}\n`. The line break in front ends the document before it, so a body of
/// n documents is n action lines and n sources plus one last line break, with no slice for the breaks in between; the
/// first document of a body leaves its leading break out. The index name is in the request's path.
///
/// Bytes that are not UTF-8 go out as they are: the target refuses the line, the batch is split, and the document ends
/// as rejected. Replacing them would store it under another id, perhaps another document's.
package enum BulkActionLine {
    private static let head: StaticString = "\n{\"index\":{\"_id\":\""
    private static let routingHead: StaticString = "\",\"routing\":\""
    private static let tail: StaticString = "\"}}\n"

    /// Bytes that `write` needs at the most: every byte of an id can become a six byte escape.
    @inline(__always)
    package static func byteLimit(idByteCount: Int, routingByteCount: Int) -> Int {
        6 * (idByteCount + routingByteCount) + head.utf8CodeUnitCount + routingHead.utf8CodeUnitCount
            + tail.utf8CodeUnitCount
    }

    /// Writes the line to `destination`, which holds at least `byteLimit` bytes, and returns its length in bytes.
    package static func write(
        id: UnsafeRawBufferPointer, routing: UnsafeRawBufferPointer?, to destination: UnsafeMutableRawPointer
    ) -> Int {
        var end = append(head, to: destination)
        end = JSONText.appendEscaped(id, to: end)
        if let routing {
            end = append(routingHead, to: end)
            end = JSONText.appendEscaped(routing, to: end)
        }
        end = append(tail, to: end)
        return end - destination
    }

    @inline(__always)
    private static func append(
        _ text: StaticString, to destination: UnsafeMutableRawPointer
    ) -> UnsafeMutableRawPointer {
        destination.copyMemory(from: text.utf8Start, byteCount: text.utf8CodeUnitCount)
        return destination + text.utf8CodeUnitCount
    }
}

/// Escapes for the inside of a JSON string (RFC 8259 §7).
enum JSONText {
    private static let hexDigits: StaticString = "0123456789abcdef"

    /// Copies `bytes`, escaping quotes, backslashes and control characters, and returns the end of what was written:
    /// at most six bytes for each byte.
    static func appendEscaped(
        _ bytes: UnsafeRawBufferPointer, to destination: UnsafeMutableRawPointer
    ) -> UnsafeMutableRawPointer {
        var end = destination
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                end.storeBytes(of: UInt8(ascii: "\\"), as: UInt8.self)
                end.storeBytes(of: byte, toByteOffset: 1, as: UInt8.self)
                end += 2
            case 0..<0x20:
                end.copyMemory(from: ("\\u00" as StaticString).utf8Start, byteCount: 4)
                end.storeBytes(of: hexDigits.utf8Start[Int(byte >> 4)], toByteOffset: 4, as: UInt8.self)
                end.storeBytes(of: hexDigits.utf8Start[Int(byte & 15)], toByteOffset: 5, as: UInt8.self)
                end += 6
            default:
                end.storeBytes(of: byte, as: UInt8.self)
                end += 1
            }
        }
        return end
    }
}
