@_exported import Foundation

public enum MTLPixelFormat: UInt { case invalid, r8Unorm, rg8Unorm, bgra8Unorm }
public enum MTLBlendFactor: UInt { case zero, one, oneMinusSourceAlpha }
public enum MTLPrimitiveType: UInt { case triangle, triangleStrip }

public struct MTLResourceOptions: OptionSet, Sendable {
    public let rawValue: UInt
    public init(rawValue: UInt) { self.rawValue = rawValue }
    public static let storageModeShared = MTLResourceOptions([])
}

public struct MTLClearColor {
    public init(red: Double, green: Double, blue: Double, alpha: Double) {}
}

public protocol MTLBuffer: AnyObject {
    func contents() -> UnsafeMutableRawPointer
    var length: Int { get }
}

public protocol MTLTexture: AnyObject {}
public protocol MTLFunction: AnyObject {}
public protocol MTLRenderPipelineState: AnyObject {}
public protocol MTLDrawable: AnyObject {}

public protocol MTLLibrary: AnyObject {
    var device: any MTLDevice { get }
    func makeFunction(name: String) -> (any MTLFunction)?
}

public protocol MTLDevice: AnyObject {
    func makeBuffer(length: Int, options: MTLResourceOptions) -> (any MTLBuffer)?
    func makeCommandQueue() -> (any MTLCommandQueue)?
    func makeDefaultLibrary() -> (any MTLLibrary)?
    func makeRenderPipelineState(descriptor: MTLRenderPipelineDescriptor) throws -> any MTLRenderPipelineState
}

public protocol MTLCommandQueue: AnyObject {
    func makeCommandBuffer() -> (any MTLCommandBuffer)?
}

public protocol MTLCommandBuffer: AnyObject {
    func makeRenderCommandEncoder(descriptor: MTLRenderPassDescriptor) -> (any MTLRenderCommandEncoder)?
    func addCompletedHandler(_ block: @escaping (any MTLCommandBuffer) -> Void)
    func present(_ drawable: any MTLDrawable)
    func commit()
}

public protocol MTLRenderCommandEncoder: AnyObject {
    func setRenderPipelineState(_ state: any MTLRenderPipelineState)
    func setVertexBytes(_ bytes: UnsafeRawPointer, length: Int, index: Int)
    func setFragmentBytes(_ bytes: UnsafeRawPointer, length: Int, index: Int)
    func setFragmentBuffer(_ buffer: (any MTLBuffer)?, offset: Int, index: Int)
    func setFragmentTexture(_ texture: (any MTLTexture)?, index: Int)
    func drawPrimitives(type: MTLPrimitiveType, vertexStart: Int, vertexCount: Int)
    func endEncoding()
}

open class MTLRenderPassDescriptor {}

open class MTLRenderPipelineColorAttachmentDescriptor {
    public var pixelFormat = MTLPixelFormat.invalid
    public var isBlendingEnabled = false
    public var sourceRGBBlendFactor = MTLBlendFactor.one
    public var destinationRGBBlendFactor = MTLBlendFactor.zero
    public var sourceAlphaBlendFactor = MTLBlendFactor.one
    public var destinationAlphaBlendFactor = MTLBlendFactor.zero
}

open class MTLRenderPipelineColorAttachmentDescriptorArray {
    public subscript(index: Int) -> MTLRenderPipelineColorAttachmentDescriptor! { nil }
}

open class MTLRenderPipelineDescriptor {
    public init() {}
    public var vertexFunction: (any MTLFunction)?
    public var fragmentFunction: (any MTLFunction)?
    public var colorAttachments: MTLRenderPipelineColorAttachmentDescriptorArray! { nil }
}

public func MTLCreateSystemDefaultDevice() -> (any MTLDevice)? { nil }
