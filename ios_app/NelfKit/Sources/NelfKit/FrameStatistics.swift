import Foundation

/// Times of the last frames in milliseconds, and how many came a second. Adding and reading allocate nothing.
///
/// Not for several threads at once.
public struct FrameStatistics {
    private var times: [Double]
    private var ends: [Double]
    private var sorted: [Double]
    private var added = 0

    public init(capacity: Int = 120) {
        times = Array(repeating: 0, count: capacity)
        ends = Array(repeating: 0, count: capacity)
        sorted = Array(repeating: 0, count: capacity)
    }

    /// A frame took `milliseconds` and was there at `seconds` of any clock.
    public mutating func add(_ milliseconds: Double, at seconds: Double) {
        times[added % times.count] = milliseconds
        ends[added % times.count] = seconds
        added += 1
    }

    private var held: Int { min(added, times.count) }

    public var median: Double { mutating get { percentile(50) } }
    public var p95: Double { mutating get { percentile(95) } }

    /// The nearest rank: smallest of the last times that `percent` of them do not exceed; 0 before the first.
    public mutating func percentile(_ percent: Double) -> Double {
        let held = held
        if held == 0 { return 0 }
        sort(held)
        return sorted[rank(percent, held)]
    }

    /// By insertion, in memory of its own: the library's `sorted` makes a list each time.
    private mutating func sort(_ held: Int) {
        for index in 0..<held {
            var at = index
            while at > 0 && sorted[at - 1] > times[index] {
                sorted[at] = sorted[at - 1]
                at -= 1
            }
            sorted[at] = times[index]
        }
    }

    /// Frames in the second before `seconds`. A camera at rest draws none: that costs nothing, and is not slow.
    public func framesPerSecond(at seconds: Double) -> Int {
        ends.prefix(held).reduce(0) { $0 + ($1 > seconds - 1 && $1 <= seconds ? 1 : 0) }
    }
}

/// Of values in order, the first that `percent` of them do not exceed; 0 where there are none.
func nearestRank(_ percent: Double, of sorted: [Double]) -> Double {
    sorted.isEmpty ? 0 : sorted[rank(percent, sorted.count)]
}

private func rank(_ percent: Double, _ count: Int) -> Int {
    max(Int((percent / 100 * Double(count)).rounded(.up)), 1) - 1
}
