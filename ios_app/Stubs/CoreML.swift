import CoreVideo
@_exported import Foundation

public enum MLMultiArrayDataType: Int { case double, float32, float16, int32 }
public enum MLComputeUnits: Int { case cpuOnly, cpuAndGPU, all, cpuAndNeuralEngine }

open class MLMultiArray: NSObject {
    public init(shape: [NSNumber], dataType: MLMultiArrayDataType) throws {}
    public init(
        dataPointer: UnsafeMutableRawPointer, shape: [NSNumber], dataType: MLMultiArrayDataType, strides: [NSNumber],
        deallocator: ((UnsafeMutableRawPointer) -> Void)? = nil
    ) throws {}
    public var dataPointer: UnsafeMutableRawPointer { fatalError() }
    public var dataType: MLMultiArrayDataType { .float32 }
    public var shape: [NSNumber] { [] }
    public var strides: [NSNumber] { [] }
    public var count: Int { 0 }
}

open class MLFeatureValue: NSObject {
    public convenience init(multiArray: MLMultiArray) { self.init() }
    public var multiArrayValue: MLMultiArray? { nil }
    public var imageBufferValue: CVPixelBuffer? { nil }
}

public protocol MLFeatureProvider: AnyObject {
    func featureValue(for name: String) -> MLFeatureValue?
}

open class MLDictionaryFeatureProvider: NSObject, MLFeatureProvider {
    public init(dictionary: [String: Any]) throws {}
    public func featureValue(for name: String) -> MLFeatureValue? { nil }
}

open class MLPredictionOptions: NSObject {
    public var outputBackings: [String: Any] = [:]
}

open class MLModelConfiguration: NSObject {
    public var computeUnits = MLComputeUnits.all
}

open class MLFeatureDescription: NSObject {}

open class MLModelDescription: NSObject {
    public var inputDescriptionsByName: [String: MLFeatureDescription] { [:] }
    public var outputDescriptionsByName: [String: MLFeatureDescription] { [:] }
}

open class MLModel: NSObject {
    public var modelDescription: MLModelDescription { fatalError() }
    public static func compileModel(at url: URL) async throws -> URL { url }
    public static func load(contentsOf url: URL, configuration: MLModelConfiguration) async throws -> MLModel {
        fatalError()
    }
    public func prediction(from input: any MLFeatureProvider, options: MLPredictionOptions) throws
        -> any MLFeatureProvider
    {
        fatalError()
    }
}
