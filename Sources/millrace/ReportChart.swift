import Glibc

/// Lines over time as inline SVG, with axes and units. Two drawings, for wide and for narrow windows; the page's style
/// shows one of them.
struct ReportChart {
    struct Point {
        /// Seconds since 1970.
        let start: Int64
        let value: Double
        /// What a pointer over the point says, behind the time.
        let says: String
    }

    struct Series {
        let name: String
        let style: String
        let points: [Point]
    }

    let unit: String
    /// Seconds between two points that follow each other.
    let width: Int64
    let height: Int
    /// Shown beside others: drawn for narrow places only.
    var isNarrow = false
    let series: [Series]
    /// A level to compare with.
    var reference: (value: Double, name: String)?
    /// The values are percents; the scale ends at 100 and starts where it is of use.
    var isShare = false

    var svg: String {
        isNarrow ? drawing(420, "") : drawing(1000, " class=\"wide\"") + drawing(420, " class=\"compact\"")
    }

    /// `2026-03-01 10:00`.
    static func time(_ seconds: Int64) -> String {
        String(TimeText.short(seconds * 1000).dropLast(4))
    }

    private struct Scale {
        let low: Double
        let high: Double
        let step: Double
        /// Of labels.
        let decimals: Int
    }

    private var scale: Scale {
        var values = series.flatMap { $0.points.map(\.value) }
        if let reference { values.append(reference.value) }
        if isShare {
            let span = max(0.1, (100 - (values.min() ?? 0)) * 1.15)
            let spans = [0.2, 0.5, 1, 2, 5, 10, 20, 50, 100.0]
            let chosen = spans.first { $0 >= span } ?? 100
            let step = chosen / (chosen == 0.2 || chosen == 2 || chosen == 20 ? 4 : 5)
            return Scale(low: 100 - chosen, high: 100, step: step, decimals: step < 0.1 ? 2 : step < 1 ? 1 : 0)
        }
        let most = max(1, (values.max() ?? 1) * 1.05)
        let power = pow(10, floor(log10(most / 4)))
        let step = max(1, ([1, 2, 5, 10].map { $0 * power }.first { $0 * 5 >= most }) ?? power * 10)
        return Scale(low: 0, high: ceil(most / step) * step, step: step, decimals: 0)
    }

    private func drawing(_ fullWidth: Int, _ attributes: String) -> String {
        let scale = scale
        let (left, right, top, bottom) = (58, 14, 22, 34)
        let starts = series.flatMap { $0.points.map(\.start) }
        let first = starts.min() ?? 0
        let last = max(starts.max() ?? 1, first + width)
        let x = { (start: Int64) in
            Double(left) + Double(start - first) / Double(last - first) * Double(fullWidth - left - right)
        }
        let y = { (value: Double) in
            let share = (value - scale.low) / (scale.high - scale.low)
            return Double(top) + (1 - min(1, max(0, share))) * Double(height - top - bottom)
        }
        let names = series.map(\.name).joined(separator: " and ")
        var svg =
            "<svg\(attributes) viewBox=\"0 0 \(fullWidth) \(height)\" role=\"img\" aria-label=\"\(names) in \(unit)\">"
        svg += "<text class=\"unit\" x=\"\(left - 8)\" y=\"12\" text-anchor=\"end\">\(unit)</text>"
        var value = scale.low
        while value <= scale.high + scale.step / 2 {
            let place = number(y(value))
            svg += "<line class=\"grid\" x1=\"\(left)\" x2=\"\(fullWidth - right)\" y1=\"\(place)\" y2=\"\(place)\"/>"
            svg += "<text x=\"\(left - 8)\" y=\"\(number(y(value) + 4))\" text-anchor=\"end\">"
            svg += "\(label(value, scale.decimals))</text>"
            value += scale.step
        }
        svg += timeAxis(first, last, fullWidth: fullWidth, right: right, bottom: bottom, x)
        if let reference {
            let place = number(y(reference.value))
            svg +=
                "<line class=\"reference\" x1=\"\(left)\" x2=\"\(fullWidth - right)\" y1=\"\(place)\" y2=\"\(place)\"/>"
            svg += "<text class=\"reference\" x=\"\(fullWidth - right - 4)\" "
            svg += "y=\"\(number(y(reference.value) - 6))\" text-anchor=\"end\">\(reference.name)</text>"
        }
        for line in series { svg += drawn(line, x, y) }
        return svg + "</svg>"
    }

    private func drawn(_ line: Series, _ x: (Int64) -> Double, _ y: (Double) -> Double) -> String {
        var path = ""
        var previous: Int64?
        for point in line.points {
            // A longer pause is a gap in the line.
            let isNext = previous.map { point.start - $0 <= 3 * width } ?? false
            path += "\(isNext ? "L" : "M")\(number(x(point.start))) \(number(y(point.value)))"
            previous = point.start
        }
        var svg = "<path class=\"line \(line.style)\" d=\"\(path)\"/>"
        let radius = line.points.count > 60 ? 2 : 3
        for point in line.points {
            let title = "\(Self.time(point.start)) UTC: \(line.name) \(point.says)"
            svg += "<circle class=\"\(line.style)\" cx=\"\(number(x(point.start)))\" cy=\"\(number(y(point.value)))\" "
            svg += "r=\"\(radius)\"><title>\(ReportPage.escaped(title))</title></circle>"
        }
        return svg
    }

    private func timeAxis(
        _ first: Int64, _ last: Int64, fullWidth: Int, right: Int, bottom: Int, _ x: (Int64) -> Double
    ) -> String {
        let wanted = Int64(fullWidth > 500 ? 8 : 3)
        let steps: [Int64] = [
            1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800,
            604_800, 2_419_200, 29_030_400, 290_304_000, 2_903_040_000,
        ]
        let step = steps.first { $0 * wanted >= last - first } ?? 2_903_040_000
        var svg = ""
        var tick = (first + step - 1) / step * step
        var previousDay = ""
        while tick <= last {
            let text = Self.time(tick)
            let day = String(text.prefix(10))
            let hour = step < 60 ? String(TimeText.short(tick * 1000).dropFirst(11).dropLast()) : String(text.suffix(5))
            let place = x(tick)
            let anchor = place > Double(fullWidth - right - 30) ? "end" : "middle"
            let y = height - bottom
            svg += "<line class=\"tick\" x1=\"\(number(place))\" x2=\"\(number(place))\" y1=\"\(y)\" y2=\"\(y + 4)\"/>"
            svg += "<text x=\"\(number(place))\" y=\"\(y + 16)\" text-anchor=\"\(anchor)\">"
            svg += step >= 86_400 ? day : hour
            svg += "</text>"
            if step < 86_400, day != previousDay {
                svg +=
                    "<text class=\"day\" x=\"\(number(place))\" y=\"\(y + 30)\" text-anchor=\"\(anchor)\">\(day)</text>"
                previousDay = day
            }
            tick += step
        }
        return svg
    }

    private func label(_ value: Double, _ decimals: Int) -> String {
        if decimals == 0 { return ReportText.count(Int(value.rounded())) }
        let factor = decimals == 1 ? 10.0 : 100.0
        let scaled = Int((value * factor).rounded())
        let fraction = scaled % Int(factor)
        return "\(scaled / Int(factor)).\(decimals == 2 && fraction < 10 ? "0" : "")\(fraction)"
    }

    /// To a tenth.
    private func number(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
    }
}
