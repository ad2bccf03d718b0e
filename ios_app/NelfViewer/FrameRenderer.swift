import Metal
import MetalKit
import NelfKit
import simd

/// Presents the model's image: over a colour, or over the phone's camera.
@MainActor
final class FrameRenderer {
    /// The same as in Shaders.metal.
    private struct Uniforms {
        var width, height, channels: UInt32
        var unused: UInt32 = 0
        var corners: Quad
    }

    let device: any MTLDevice

    private let commands: any MTLCommandQueue
    private let image: any MTLRenderPipelineState
    private let pixels: any MTLRenderPipelineState
    private let camera: any MTLRenderPipelineState

    init(_ format: MTLPixelFormat) throws {
        guard let device = MTLCreateSystemDefaultDevice(), let commands = device.makeCommandQueue(),
            let library = device.makeDefaultLibrary()
        else { throw ModelError("This device has no Metal, which the viewer draws with") }
        self.device = device
        self.commands = commands
        image = try Self.pipeline(library, format, "image", "image", blended: true)
        pixels = try Self.pipeline(library, format, "image", "picture", blended: false)
        camera = try Self.pipeline(library, format, "camera", "camera", blended: false)
    }

    private static func pipeline(
        _ library: any MTLLibrary, _ format: MTLPixelFormat, _ vertex: String, _ fragment: String, blended: Bool
    ) throws -> any MTLRenderPipelineState {
        let descriptor = MTLRenderPipelineDescriptor()
        descriptor.vertexFunction = library.makeFunction(name: "\(vertex)Vertex")
        descriptor.fragmentFunction = library.makeFunction(name: "\(fragment)Fragment")
        guard let target = descriptor.colorAttachments[0] else { throw ModelError("Metal has no colour attachment") }
        target.pixelFormat = format
        target.isBlendingEnabled = blended  // colour comes premultiplied
        target.sourceRGBBlendFactor = .one
        target.destinationRGBBlendFactor = .oneMinusSourceAlpha
        target.sourceAlphaBlendFactor = .one
        target.destinationAlphaBlendFactor = .oneMinusSourceAlpha
        return try library.device.makeRenderPipelineState(descriptor: descriptor)
    }

    /// Draws the newest image of `buffers`, if there is one, at `corners`; nil: not at all. The buffer stays borrowed until
    /// the GPU is through with it.
    func draw(
        _ buffers: FrameBuffers<ImageBuffer>, _ info: ImageInfo, at corners: Quad?, behind: CameraPicture? = nil,
        in view: MTKView
    ) {
        guard let pass = view.currentRenderPassDescriptor, let drawable = view.currentDrawable,
            let buffer = commands.makeCommandBuffer(), let encoder = buffer.makeRenderCommandEncoder(descriptor: pass)
        else { return }
        if let behind { draw(behind, encoder) }
        let slot = corners == nil ? nil : buffers.borrow()
        if let slot, let corners {
            var uniforms = Uniforms(
                width: UInt32(info.width), height: UInt32(info.height), channels: UInt32(info.channels),
                corners: corners)
            encoder.setVertexBytes(&uniforms, length: MemoryLayout<Uniforms>.stride, index: 0)
            switch buffers[slot].memory {
            case .tensor(_, let metal):
                encoder.setRenderPipelineState(image)
                encoder.setFragmentBytes(&uniforms, length: MemoryLayout<Uniforms>.stride, index: 0)
                encoder.setFragmentBuffer(metal, offset: 0, index: 1)
            case .picture(_, let texture, _):
                encoder.setRenderPipelineState(pixels)
                encoder.setFragmentTexture(texture, index: 0)
            }
            encoder.drawPrimitives(type: .triangleStrip, vertexStart: 0, vertexCount: 4)
        }
        encoder.endEncoding()
        buffer.addCompletedHandler { _ in
            if let slot { buffers.release(slot) }
            withExtendedLifetime(behind) {}
        }
        buffer.present(drawable)
        buffer.commit()
    }

    private func draw(_ picture: CameraPicture, _ encoder: any MTLRenderCommandEncoder) {
        var matrix = picture.matrix
        encoder.setRenderPipelineState(camera)
        encoder.setVertexBytes(&matrix, length: MemoryLayout<simd_float3x3>.stride, index: 0)
        encoder.setFragmentTexture(picture.luma, index: 0)
        encoder.setFragmentTexture(picture.chroma, index: 1)
        encoder.drawPrimitives(type: .triangleStrip, vertexStart: 0, vertexCount: 4)
    }

    /// The largest rectangle of the image's proportions in the middle of a view.
    static func fitted(_ info: ImageInfo, _ width: Double, _ height: Double) -> Quad {
        let scale = min(width / Double(info.width), height / Double(info.height))
        let x = Float(scale * Double(info.width) / width)
        let y = Float(scale * Double(info.height) / height)
        return Quad(
            bottomLeft: SIMD4(-x, -y, 0, 1), bottomRight: SIMD4(x, -y, 0, 1), topLeft: SIMD4(-x, y, 0, 1),
            topRight: SIMD4(x, y, 0, 1))
    }
}

/// Where the image's corners are, in clip space. With different w it is seen in perspective.
struct Quad {
    var bottomLeft, bottomRight, topLeft, topRight: SIMD4<Float>
}

/// One frame of the phone's camera as textures, without a copy. The references keep it alive while it is drawn.
struct CameraPicture {
    let luma, chroma: any MTLTexture
    /// From a place in the view to one in the camera's image, both 0 to 1, y downwards.
    let matrix: simd_float3x3
    let owners: [AnyObject]
}
