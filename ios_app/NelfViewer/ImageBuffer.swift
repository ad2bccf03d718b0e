import CoreML
import CoreVideo
import Metal
import NelfKit

/// One image of the model: memory that Core ML writes and Metal reads, so that nothing is copied in between.
final class ImageBuffer {
    enum Memory {
        /// float32, height x width x channels, colour premultiplied.
        case tensor(MLMultiArray, any MTLBuffer)
        /// 32BGRA. `owners` keep the texture alive.
        case picture(CVPixelBuffer, any MTLTexture, owners: [Any])
    }

    let memory: Memory
    /// Made once: it names this buffer as the place of the output.
    let options = MLPredictionOptions()
    private let shape: [Int]

    init(device: any MTLDevice, output: TensorInfo) throws {
        shape = output.shape
        memory = output.isPicture ? try Self.picture(device, output.shape) : try Self.tensor(device, output.shape)
        switch memory {
        case .tensor(let array, _): options.outputBackings = [output.name: array]
        case .picture(let buffer, _, _): options.outputBackings = [output.name: buffer]
        }
    }

    private static func tensor(_ device: any MTLDevice, _ shape: [Int]) throws -> Memory {
        let count = shape.reduce(1, *)
        guard let metal = device.makeBuffer(length: count * MemoryLayout<Float>.stride, options: .storageModeShared)
        else { throw noMemory(count) }
        let strides = shape.indices.map { NSNumber(value: shape[($0 + 1)...].reduce(1, *)) }
        let array = try MLMultiArray(
            dataPointer: metal.contents(), shape: shape.map { NSNumber(value: $0) }, dataType: .float32,
            strides: strides, deallocator: nil)
        return .tensor(array, metal)
    }

    private static func picture(_ device: any MTLDevice, _ shape: [Int]) throws -> Memory {
        let (height, width) = (shape[1], shape[2])
        let attributes: [String: Any] = [
            kCVPixelBufferMetalCompatibilityKey as String: true,
            kCVPixelBufferIOSurfacePropertiesKey as String: [String: Any](),
        ]
        var made: CVPixelBuffer?
        CVPixelBufferCreate(
            kCFAllocatorDefault, width, height, kCVPixelFormatType_32BGRA, attributes as CFDictionary, &made)
        let textures = try PixelTextures(device)
        guard let made, let texture = textures.texture(made, plane: 0, .bgra8Unorm, width, height) else {
            throw noMemory(width * height)
        }
        return .picture(made, texture.0, owners: [textures, texture.1])
    }

    private static func noMemory(_ count: Int) -> ModelError {
        ModelError("There is no memory for an image of \(count) numbers")
    }

    /// Takes over what the model gave; returns whether that was a copy, because it is not here already.
    func take(_ value: MLFeatureValue) throws -> Bool {
        switch memory {
        case .tensor(let array, let metal):
            guard let given = value.multiArrayValue else { throw Self.otherLayout }
            if given === array { return false }
            guard given.dataType == .float32, given.count == array.count, given.strides == array.strides else {
                throw Self.otherLayout
            }
            metal.contents().copyMemory(from: given.dataPointer, byteCount: metal.length)
        case .picture(let buffer, _, _):
            guard let given = value.imageBufferValue else { throw Self.otherLayout }
            if given === buffer { return false }
            try Self.copy(given, to: buffer)
        }
        return true
    }

    /// Its memory, of a tensor; throws for a picture.
    func values() throws -> UnsafeMutableBufferPointer<Float> {
        guard case .tensor(let array, let metal) = memory else { throw Self.otherLayout }
        let start = metal.contents().assumingMemoryBound(to: Float.self)
        return UnsafeMutableBufferPointer(start: start, count: array.count)
    }

    private static func copy(_ given: CVPixelBuffer, to buffer: CVPixelBuffer) throws {
        let height = CVPixelBufferGetHeight(buffer)
        guard CVPixelBufferGetPixelFormatType(given) == kCVPixelFormatType_32BGRA,
            CVPixelBufferGetWidth(given) == CVPixelBufferGetWidth(buffer), CVPixelBufferGetHeight(given) == height
        else { throw otherLayout }
        CVPixelBufferLockBaseAddress(given, .readOnly)
        CVPixelBufferLockBaseAddress(buffer, [])
        defer {
            CVPixelBufferUnlockBaseAddress(buffer, [])
            CVPixelBufferUnlockBaseAddress(given, .readOnly)
        }
        guard let from = CVPixelBufferGetBaseAddress(given), let to = CVPixelBufferGetBaseAddress(buffer) else {
            throw otherLayout
        }
        let (row, otherRow) = (CVPixelBufferGetBytesPerRow(given), CVPixelBufferGetBytesPerRow(buffer))
        for y in 0..<height {
            (to + y * otherRow).copyMemory(from: from + y * row, byteCount: 4 * CVPixelBufferGetWidth(buffer))
        }
    }

    private static var otherLayout: ModelError {
        ModelError("The model's image has another layout than its manifest says. Export the scene again.")
    }

    /// How far it is from a golden image of the same size: bytes row by row without padding.
    func difference(from golden: [UInt8]) throws -> Difference {
        precondition(golden.count == shape.reduce(1, *))
        switch memory {
        case .tensor(_, let metal):
            let values = metal.contents().assumingMemoryBound(to: Float.self)
            return Difference(UnsafeBufferPointer(start: values, count: golden.count), golden)
        case .picture(let buffer, _, _):
            CVPixelBufferLockBaseAddress(buffer, .readOnly)
            defer { CVPixelBufferUnlockBaseAddress(buffer, .readOnly) }
            guard let start = CVPixelBufferGetBaseAddress(buffer) else { throw Self.otherLayout }
            let rows = UnsafeRawBufferPointer(
                start: start, count: CVPixelBufferGetBytesPerRow(buffer) * CVPixelBufferGetHeight(buffer))
            return Difference(
                bgra: rows, bytesPerRow: CVPixelBufferGetBytesPerRow(buffer), width: shape[2], golden)
        }
    }
}
