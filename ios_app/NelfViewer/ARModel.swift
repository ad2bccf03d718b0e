import ARKit
import Combine
import MetalKit
import NelfKit
import UIKit
import simd

/// ARKit's camera as the scene's camera.
@MainActor
final class ARModel: NSObject, ObservableObject {
    /// Metres before the phone at which the object is put.
    private static let distance = 0.6
    /// Degrees from the photographed directions beyond which the hint asks to move.
    private static let farOff = 15.0

    @Published private(set) var hint: String? = "Point the phone at a free place, then put the object there"

    private let model: ViewerModel
    private let session = ARSession()
    private var placement: ARPlacement?
    private var textures: PixelTextures?

    init(_ model: ViewerModel) { self.model = model }

    func start(_ view: MTKView) {
        guard let renderer = model.renderer else { return }
        model.suspend()
        view.device = renderer.device
        view.colorPixelFormat = .bgra8Unorm
        view.delegate = self
        do {
            textures = try PixelTextures(renderer.device)
        } catch {
            let text = error.localizedDescription
            Task { hint = text }  // not while SwiftUI makes the view
        }
        session.delegate = self
        session.run(ARWorldTrackingConfiguration())
    }

    func stop() {
        session.pause()
        model.resume()
    }

    /// Puts the object before the phone.
    func place() {
        guard let frame = session.currentFrame else { return }
        placement = ARPlacement(
            model.manifest, start: model.start, before: Pose(frame.camera, orientation), distance: Self.distance)
        hint = nil
    }

    private var orientation: UIInterfaceOrientation {
        let scenes = UIApplication.shared.connectedScenes.compactMap { $0 as? UIWindowScene }
        return scenes.first?.interfaceOrientation ?? .portrait
    }

    /// A plane of the camera's image.
    private func texture(_ buffer: CVPixelBuffer, plane: Int, _ format: MTLPixelFormat) -> (any MTLTexture, AnyObject)?
    {
        textures?.texture(
            buffer, plane: plane, format, CVPixelBufferGetWidthOfPlane(buffer, plane),
            CVPixelBufferGetHeightOfPlane(buffer, plane))
    }

    private func picture(_ frame: ARFrame, _ size: CGSize) -> CameraPicture? {
        guard let luma = texture(frame.capturedImage, plane: 0, .r8Unorm),
            let chroma = texture(frame.capturedImage, plane: 1, .rg8Unorm)
        else { return nil }
        let toView = frame.displayTransform(for: orientation, viewportSize: size)
        let matrix = simd_float3x3(toView.inverted())
        return CameraPicture(luma: luma.0, chroma: chroma.0, matrix: matrix, owners: [luma.1, chroma.1])
    }

    private func draw(_ frame: ARFrame, in view: MTKView) {
        guard let loop = model.loop, let renderer = model.renderer else { return }
        let size = view.drawableSize
        let behind = picture(frame, size)
        let seen = placement?.view(from: Pose(frame.camera, orientation))
        if let seen { loop.request(seen.c2w) }
        let projection = frame.camera.projectionMatrix(for: orientation, viewportSize: size, zNear: 0.01, zFar: 100)
        let corners = seen.map { Quad($0.corners(of: model.manifest), projection) }
        renderer.draw(loop.buffers, model.manifest.image, at: corners, behind: behind, in: view)
        guard placement != nil else { return }
        let far = (seen?.degreesOff ?? 90) > Self.farOff
        let text = far ? "The scene was not photographed from here; go back towards where it was" : nil
        if text != hint { hint = text }
    }
}

extension ARModel: MTKViewDelegate {
    func mtkView(_ view: MTKView, drawableSizeWillChange size: CGSize) {}

    func draw(in view: MTKView) {
        if let frame = session.currentFrame { draw(frame, in: view) }
    }
}

extension ARModel: ARSessionDelegate {
    nonisolated func session(_ session: ARSession, didFailWithError error: any Error) {
        let text = error.localizedDescription
        Task { @MainActor in hint = text }
    }
}

extension Quad {
    /// Four places before a camera, through its projection.
    init(_ corners: (Vector, Vector, Vector, Vector), _ projection: simd_float4x4) {
        let (sx, sy) = (projection.columns.0.x, projection.columns.1.y)
        let (ox, oy) = (projection.columns.2.x, projection.columns.2.y)
        let clip = { (place: Vector) in
            let (x, y, z) = (Float(place.x), Float(place.y), Float(place.z))
            return SIMD4(sx * x + ox * z, sy * y + oy * z, 0, -z)
        }
        self.init(
            bottomLeft: clip(corners.0), bottomRight: clip(corners.1), topLeft: clip(corners.2),
            topRight: clip(corners.3))
    }
}

extension Pose {
    /// ARKit's camera, upright in the interface's orientation.
    init(_ camera: ARCamera, _ orientation: UIInterfaceOrientation) {
        let matrix = camera.viewMatrix(for: orientation).inverse
        self.init(
            right: Vector(matrix.columns.0), up: Vector(matrix.columns.1), back: Vector(matrix.columns.2),
            eye: Vector(matrix.columns.3))
    }
}

extension Vector {
    init(_ column: SIMD4<Float>) {
        self.init(Double(column.x), Double(column.y), Double(column.z))
    }
}

extension simd_float3x3 {
    /// An affine transform of the plane.
    init(_ transform: CGAffineTransform) {
        self.init(
            SIMD3(Float(transform.a), Float(transform.b), 0), SIMD3(Float(transform.c), Float(transform.d), 0),
            SIMD3(Float(transform.tx), Float(transform.ty), 1))
    }
}
