@_exported import Metal
@_exported import UIKit

@MainActor public protocol MTKViewDelegate: AnyObject {
    func mtkView(_ view: MTKView, drawableSizeWillChange size: CGSize)
    func draw(in view: MTKView)
}

@MainActor open class MTKView: UIView {
    public init(frame: CGRect, device: (any MTLDevice)?) {}
    public var device: (any MTLDevice)?
    public weak var delegate: (any MTKViewDelegate)?
    public var isPaused = false
    public var colorPixelFormat = MTLPixelFormat.bgra8Unorm
    public var clearColor = MTLClearColor(red: 0, green: 0, blue: 0, alpha: 1)
    public var drawableSize: CGSize = .zero
    public var currentRenderPassDescriptor: MTLRenderPassDescriptor? { nil }
    public var currentDrawable: (any MTLDrawable)? { nil }
}
