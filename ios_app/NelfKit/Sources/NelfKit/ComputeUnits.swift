import Foundation

/// What Core ML may compute on.
public enum ComputeUnits: String, CaseIterable, Identifiable, Sendable {
    case all, cpuAndNeuralEngine, cpuAndGPU, cpuOnly

    public var id: String { rawValue }

    public var title: String {
        switch self {
        case .all: "Automatic"
        case .cpuAndNeuralEngine: "Neural Engine"
        case .cpuAndGPU: "GPU"
        case .cpuOnly: "CPU"
        }
    }

    /// docs/benchmark.md's name for the fastest unit allowed. Core ML does not say which one ran.
    public var accelerator: String {
        switch self {
        case .all, .cpuAndNeuralEngine: "npu"
        case .cpuAndGPU: "gpu"
        case .cpuOnly: "cpu"
        }
    }
}
