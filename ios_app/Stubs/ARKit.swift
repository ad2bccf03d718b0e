@_exported import CoreVideo
@_exported import Metal
@_exported import UIKit
import simd

open class ARCamera: NSObject {
    public func viewMatrix(for orientation: UIInterfaceOrientation) -> simd_float4x4 { fatalError() }
    public func projectionMatrix(
        for orientation: UIInterfaceOrientation, viewportSize: CGSize, zNear: CGFloat, zFar: CGFloat
    ) -> simd_float4x4 { fatalError() }
}

open class ARFrame: NSObject {
    public var camera: ARCamera { fatalError() }
    public var capturedImage: CVPixelBuffer { fatalError() }
    public func displayTransform(for orientation: UIInterfaceOrientation, viewportSize: CGSize) -> CGAffineTransform {
        fatalError()
    }
}

open class ARConfiguration: NSObject {
    public static var isSupported: Bool { false }
}

open class ARWorldTrackingConfiguration: ARConfiguration {}

public protocol ARSessionDelegate: AnyObject {
    func session(_ session: ARSession, didFailWithError error: any Error)
}

open class ARSession: NSObject {
    public weak var delegate: (any ARSessionDelegate)?
    public var currentFrame: ARFrame? { nil }
    public func run(_ configuration: ARConfiguration) {}
    public func pause() {}
}
