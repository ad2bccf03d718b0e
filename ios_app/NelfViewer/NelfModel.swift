import CoreML
import Foundation
import Metal
import NelfKit

/// One image of the model: memory that Core ML writes and Metal reads, so that nothing is copied in between.
final class ImageBuffer {
    let metal: any MTLBuffer
    let array: MLMultiArray
    /// Made once: it names this buffer as the place of the output.
    fileprivate let options = MLPredictionOptions()

    init(device: any MTLDevice, output: TensorInfo) throws {
        let count = output.shape.reduce(1, *)
        guard let metal = device.makeBuffer(length: count * MemoryLayout<Float>.stride, options: .storageModeShared)
        else {
            throw ModelError("There is no memory for an image of \(count) numbers")
        }
        self.metal = metal
        let strides = output.shape.indices.map { NSNumber(value: output.shape[($0 + 1)...].reduce(1, *)) }
        array = try MLMultiArray(
            dataPointer: metal.contents(), shape: output.shape.map { NSNumber(value: $0) }, dataType: .float32,
            strides: strides, deallocator: nil)
        options.outputBackings = [output.name: array]
    }

    var values: UnsafeBufferPointer<Float> {
        UnsafeBufferPointer(
            start: metal.contents().assumingMemoryBound(to: Float.self),
            count: metal.length / MemoryLayout<Float>.stride)
    }
}

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
        guard let array = result.featureValue(for: output)?.multiArrayValue else {
            throw ModelError("The model gave no image. Export the scene again.")
        }
        if array !== image.array { try copy(array, into: image) }
        return start.duration(to: .now).milliseconds
    }

    private func copy(_ array: MLMultiArray, into image: ImageBuffer) throws {
        copies += 1
        guard array.dataType == .float32, array.count == image.array.count, array.strides == image.array.strides else {
            throw ModelError("The model's image has another layout than its manifest says. Export the scene again.")
        }
        image.metal.contents().copyMemory(from: array.dataPointer, byteCount: image.metal.length)
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
        let hashes = manifest.files.filter { $0.role == "model" }.map(\.sha256)
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
