import CoreVideo
import Metal
import NelfKit

/// Pixel buffers of the system's as textures over the same memory.
struct PixelTextures {
    private let cache: CVMetalTextureCache

    init(_ device: any MTLDevice) throws {
        var made: CVMetalTextureCache?
        CVMetalTextureCacheCreate(kCFAllocatorDefault, nil, device, nil, &made)
        guard let made else { throw ModelError("This device makes no textures of pictures") }
        cache = made
    }

    /// One plane as a texture, and who keeps it alive.
    func texture(_ buffer: CVPixelBuffer, plane: Int, _ format: MTLPixelFormat, _ width: Int, _ height: Int) -> (
        any MTLTexture, AnyObject
    )? {
        var made: CVMetalTexture?
        CVMetalTextureCacheCreateTextureFromImage(
            kCFAllocatorDefault, cache, buffer, nil, format, width, height, plane, &made)
        guard let made, let texture = CVMetalTextureGetTexture(made) else { return nil }
        return (texture, made)
    }
}
