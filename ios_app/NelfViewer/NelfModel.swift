import CoreML
import Foundation
import NelfKit

struct ModelError: LocalizedError {
    let errorDescription: String?

    init(_ what: String) { errorDescription = what }
}

/// The bundle's network in Core ML: pose in, image out. For one thread at a time.
final class NelfModel {
    let units: ComputeUnits
    /// Reading and compiling it.
    let loadMilliseconds: Double
    /// Images that Core ML did not write where it was asked to, and that were copied therefore.
    private(set) var copies = 0

    private let model: MLModel
    private let output: String
    private let pose: MLMultiArray
    private let input: MLDictionaryFeatureProvider

    /// Loads the model of a bundle whose files were checked. What Core ML compiled is kept for the next time.
    static func load(_ bundle: SceneBundle, units: ComputeUnits) async throws -> NelfModel {
        let start = ContinuousClock.now
        if let reason = bundle.manifest.unsupported { throw reason }
        let configuration = MLModelConfiguration()
        configuration.computeUnits = units.coreML
        let compiled = try await CompiledModels.url(of: bundle)
        let model = try await MLModel.load(contentsOf: compiled, configuration: configuration)
        return try NelfModel(
            model, bundle.manifest.model, units: units, loadMilliseconds: start.duration(to: .now).milliseconds)
    }

    private init(_ model: MLModel, _ info: ModelInfo, units: ComputeUnits, loadMilliseconds: Double) throws {
        guard model.modelDescription.inputDescriptionsByName[info.input.name] != nil,
            model.modelDescription.outputDescriptionsByName[info.output.name] != nil
        else {
            throw ModelError("The model has no \(info.input.name) or no \(info.output.name). Export the scene again.")
        }
        self.model = model
        self.units = units
        self.loadMilliseconds = loadMilliseconds
        output = info.output.name
        pose = try MLMultiArray(shape: info.input.shape.map { NSNumber(value: $0) }, dataType: .float32)
        input = try MLDictionaryFeatureProvider(dictionary: [info.input.name: MLFeatureValue(multiArray: pose)])
    }

    /// Renders the image from `c2w` into `image`; returns how many milliseconds that took.
    func render(_ c2w: Pose, into image: ImageBuffer) throws -> Double {
        let start = ContinuousClock.now
        c2w.write(to: pose.dataPointer.assumingMemoryBound(to: Float.self))
        let result = try model.prediction(from: input, options: image.options)
        guard let value = result.featureValue(for: output) else {
            throw ModelError("The model gave no image. Export the scene again.")
        }
        if try image.take(value) { copies += 1 }
        return start.duration(to: .now).milliseconds
    }
}

/// Models as Core ML compiled them, kept by the hash of their files: compiling takes seconds.
private enum CompiledModels {
    static func url(of bundle: SceneBundle) async throws -> URL {
        let caches = try FileManager.default.url(
            for: .cachesDirectory, in: .userDomainMask, appropriateFor: nil, create: true)
        let kept = caches.appendingPathComponent("models/\(key(of: bundle.manifest)).mlmodelc")
        if FileManager.default.fileExists(atPath: kept.path) { return kept }
        let compiled = try await MLModel.compileModel(at: bundle.model)
        try FileManager.default.createDirectory(
            at: kept.deletingLastPathComponent(), withIntermediateDirectories: true)
        try FileManager.default.moveItem(at: compiled, to: kept)
        return kept
    }

    private static func key(of manifest: Manifest) -> String {
        let hashes = manifest.files.filter { $0.role == .model }.map(\.sha256)
        let system = ProcessInfo.processInfo.operatingSystemVersionString.filter(\.isNumber)
        return "\(Digest.sha256(of: hashes.joined()))-\(system)"
    }
}

extension ComputeUnits {
    var coreML: MLComputeUnits {
        switch self {
        case .all: .all
        case .cpuAndNeuralEngine: .cpuAndNeuralEngine
        case .cpuAndGPU: .cpuAndGPU
        case .cpuOnly: .cpuOnly
        }
    }
}

extension Duration {
    var milliseconds: Double {
        Double(components.seconds) * 1e3 + Double(components.attoseconds) * 1e-15
    }
}
