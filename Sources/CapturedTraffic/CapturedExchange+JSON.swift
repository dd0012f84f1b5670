import JSONBytes

extension CapturedExchange {
    /// Appends the exchange as one JSON object. Bodies are base64, without the framing of chunks; what does not exist
    /// is null. `complete`: the request's end of message was recorded. `responseComplete`: the response ended by its
    /// own framing, a change of protocol or the next request.
    package func append(to json: inout JSONWriter, connection: String, node: String) {
        json.beginObject()
        json.key("connection")
        json.string(connection)
        json.key("node")
        json.string(node)
        json.key("request")
        json.int(number)
        appendRequest(to: &json)
        appendResponse(to: &json)
        json.key("complete")
        json.bool(requestEnding == .complete)
        json.key("responseComplete")
        json.bool(isResponseComplete)
        json.endObject()
    }

    package var isResponseComplete: Bool {
        responseEnding == .complete || responseEnding == .upgraded
            || (responseEnding == .nextRequest && responseByteCount > 0)
    }

    private func appendRequest(to json: inout JSONWriter) {
        let message = CapturedMessage(request)
        json.key("method")
        Self.append(message.method, to: &json)
        json.key("target")
        Self.append(message.target, to: &json)
        json.key("requestHeaders")
        Self.append(message.fields, to: &json)
        json.key("requestBody")
        Self.append(base64: message.body, to: &json)
        json.key("requestTime")
        Self.append(requestTime?.text, to: &json)
        json.key("requestBytes")
        json.int(requestByteCount)
    }

    private func appendResponse(to json: inout JSONWriter) {
        let message = responseByteCount > 0 ? CapturedMessage(response) : nil
        json.key("status")
        if let status = message?.status { json.int(status) } else { json.null() }
        json.key("responseHeaders")
        if let message { Self.append(message.fields, to: &json) } else { json.null() }
        json.key("responseBody")
        if let message { Self.append(base64: message.body, to: &json) } else { json.null() }
        json.key("responseTime")
        Self.append(responseTime?.text, to: &json)
        json.key("responseBytes")
        json.int(responseByteCount)
    }

    private static func append(_ text: String?, to json: inout JSONWriter) {
        if let text { json.string(text) } else { json.null() }
    }

    private static func append(_ fields: [CapturedMessage.Field], to json: inout JSONWriter) {
        json.beginArray()
        for field in fields {
            json.beginArray()
            json.string(field.name)
            json.string(field.value)
            json.endArray()
        }
        json.endArray()
    }

    private static func append(base64 bytes: [UInt8], to json: inout JSONWriter) {
        var text: [UInt8] = [UInt8(ascii: "\"")]
        bytes.withUnsafeBytes { Base64.append($0, to: &text) }
        text.append(UInt8(ascii: "\""))
        json.raw(text)
    }
}
