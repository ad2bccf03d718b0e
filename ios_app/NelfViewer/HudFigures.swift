import Foundation
import NelfKit

/// What the head-up display shows.
struct HudFigures {
    var median = 0.0
    var p95 = 0.0
    var framesPerSecond = 0
    var copies = 0
    var thermal = ProcessInfo.ThermalState.nominal

    init() {}

    init(_ statistics: inout FrameStatistics, copies: Int, at now: TimeInterval) {
        median = statistics.median
        p95 = statistics.p95
        framesPerSecond = statistics.framesPerSecond(at: now)
        self.copies = copies
        thermal = ProcessInfo.processInfo.thermalState
    }

    var lines: [String] {
        var lines = [
            String(format: "median %.1f ms · p95 %.1f ms", median, p95),
            "\(framesPerSecond) images/s · thermal \(thermal.name)",
        ]
        if copies > 0 { lines.append("\(copies) images copied by the CPU") }
        return lines
    }
}

extension ProcessInfo.ThermalState {
    var name: String {
        switch self {
        case .nominal: "nominal"
        case .fair: "fair"
        case .serious: "serious"
        case .critical: "critical"
        @unknown default: "unknown"
        }
    }
}
