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

    private let network: any Network

    /// Loads the model of a bundle whose files were checked. What Core ML compiled is kept for the next time.
    static func load(_ bundle: SceneBundle, units: ComputeUnits) async throws -> NelfModel {
        let start = ContinuousClock.now
        let manifest = bundle.manifest
        if let reason = manifest.unsupported { throw reason }
        let network: any Network
        if let program = manifest.program {
            let parts = try program.parts(manifest.image)
            let first = try await CoreMLPart(parts.first, in: bundle, units)
            let decoder = try await CoreMLPart(parts.decoder, in: bundle, units)
            network = TiledNetwork(
                TileRenderer(
                    program, manifest.image, intrinsics: manifest.camera.intrinsics, first: first, decoder: decoder))
        } else {
            network = try await WholeNetwork(bundle, units)
        }
        return NelfModel(network, units: units, loadMilliseconds: start.duration(to: .now).milliseconds)
    }

    private init(_ network: any Network, units: ComputeUnits, loadMilliseconds: Double) {
        self.network = network
        self.units = units
        self.loadMilliseconds = loadMilliseconds
    }

    /// Renders the image from `c2w` into `image`; returns how many milliseconds that took.
    func render(_ c2w: Pose, into image: ImageBuffer) throws -> Double {
        let start = ContinuousClock.now
        if try network.render(c2w, into: image) { copies += 1 }
        return start.duration(to: .now).milliseconds
    }
}

private protocol Network {
    /// Renders the image from `c2w` into `image`; returns whether it had to be copied there.
    func render(_ c2w: Pose, into image: ImageBuffer) throws -> Bool
}

/// One model, which Core ML runs from the pose to the image.
private final class WholeNetwork: Network {
    private let model: MLModel
    private let output: String
    private let pose: MLMultiArray
    private let input: MLDictionaryFeatureProvider

    init(_ bundle: SceneBundle, _ units: ComputeUnits) async throws {
        let info = bundle.manifest.model
        model = try await CompiledModels.load(
            info.path, of: bundle, units, inputs: [info.input.name], outputs: [info.output.name])
        output = info.output.name
        pose = try MLMultiArray(shape: info.input.shape.map { NSNumber(value: $0) }, dataType: .float32)
        input = try MLDictionaryFeatureProvider(dictionary: [info.input.name: MLFeatureValue(multiArray: pose)])
    }

    func render(_ c2w: Pose, into image: ImageBuffer) throws -> Bool {
        c2w.write(to: pose.dataPointer.assumingMemoryBound(to: Float.self))
        let result = try model.prediction(from: input, options: image.options)
        guard let value = result.featureValue(for: output) else {
            throw ModelError("The model gave no image. Export the scene again.")
        }
        return try image.take(value)
    }
}

/// The parts of a program, whose image is always pasted together here.
private final class TiledNetwork: Network {
    private let renderer: TileRenderer

    init(_ renderer: TileRenderer) { self.renderer = renderer }

    func render(_ c2w: Pose, into image: ImageBuffer) throws -> Bool {
        try renderer.render(c2w, into: image.values())
        return false
    }
}

/// A part of a program in Core ML. What Core ML writes elsewhere is copied into the memory of the part's own arrays.
private final class CoreMLPart: TilePart {
    private let model: MLModel
    private let input: MLDictionaryFeatureProvider
    private let options = MLPredictionOptions()
    private let outputs: [String: MLMultiArray]
    private let memory: [String: UnsafeMutableBufferPointer<Float>]

    init(_ info: TilePartInfo, in bundle: SceneBundle, _ units: ComputeUnits) async throws {
        let inputs = try info.inputs.mapValues(Self.array)
        let own = try info.outputs.mapValues(Self.array)
        outputs = Self.renamed(own)
        let given = Self.renamed(inputs)
        model = try await CompiledModels.load(
            info.path, of: bundle, units, inputs: Array(given.keys), outputs: Array(outputs.keys))
        input = try MLDictionaryFeatureProvider(dictionary: given.mapValues { MLFeatureValue(multiArray: $0) })
        options.outputBackings = outputs
        memory = inputs.merging(own) { first, _ in first }.mapValues {
            UnsafeMutableBufferPointer(start: $0.dataPointer.assumingMemoryBound(to: Float.self), count: $0.count)
        }
    }

    /// By their names in a package: Core ML's language reserves `state`, and coremltools lengthens it.
    private static func renamed(_ arrays: [String: MLMultiArray]) -> [String: MLMultiArray] {
        Dictionary(uniqueKeysWithValues: arrays.map { ($0 == "state" ? "state_workaround" : $0, $1) })
    }

    private static func array(_ shape: [Int]) throws -> MLMultiArray {
        try MLMultiArray(shape: shape.map { NSNumber(value: $0) }, dataType: .float32)
    }

    subscript(name: String) -> UnsafeMutableBufferPointer<Float> { memory[name]! }

    func run() throws {
        let result = try model.prediction(from: input, options: options)
        for (name, array) in outputs {
            guard let given = result.featureValue(for: name)?.multiArrayValue else {
                throw ModelError("A part of the program gave no \(name). Export the scene again.")
            }
            if given === array { continue }
            guard given.dataType == .float32, given.shape == array.shape, given.strides == array.strides else {
                throw ModelError("A part of the program gave \(name) in another layout. Export the scene again.")
            }
            array.dataPointer.copyMemory(
                from: given.dataPointer, byteCount: array.count * MemoryLayout<Float>.stride)
        }
    }
}

/// Models as Core ML compiled them, kept by the hash of their files: compiling takes seconds.
private enum CompiledModels {
    /// The model `path` of a bundle, which must have these inputs and outputs.
    static func load(
        _ path: String, of bundle: SceneBundle, _ units: ComputeUnits, inputs: [String], outputs: [String]
    ) async throws -> MLModel {
        let configuration = MLModelConfiguration()
        configuration.computeUnits = units.coreML
        let model = try await MLModel.load(contentsOf: url(of: path, in: bundle), configuration: configuration)
        let known = model.modelDescription
        guard inputs.allSatisfy({ known.inputDescriptionsByName[$0] != nil }),
            outputs.allSatisfy({ known.outputDescriptionsByName[$0] != nil })
        else {
            let names = (inputs + outputs).joined(separator: ", ")
            throw ModelError("\(path) lacks one of \(names). Export the scene again.")
        }
        return model
    }

    private static func url(of path: String, in bundle: SceneBundle) async throws -> URL {
        let caches = try FileManager.default.url(
            for: .cachesDirectory, in: .userDomainMask, appropriateFor: nil, create: true)
        let kept = caches.appendingPathComponent("models/\(key(of: path, bundle.manifest)).mlmodelc")
        if FileManager.default.fileExists(atPath: kept.path) { return kept }
        let compiled = try await MLModel.compileModel(at: bundle.url(of: path))
        try FileManager.default.createDirectory(
            at: kept.deletingLastPathComponent(), withIntermediateDirectories: true)
        try FileManager.default.moveItem(at: compiled, to: kept)
        return kept
    }

    private static func key(of path: String, _ manifest: Manifest) -> String {
        let hashes = manifest.files.filter { ($0.path + "/").hasPrefix(path + "/") }.map(\.sha256)
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
