import Combine
import Foundation
import MetalKit
import NelfKit

/// What the viewer's screens show and do: camera, model, renderer and figures of one opened scene.
@MainActor
final class ViewerModel: NSObject, ObservableObject {
    enum State {
        case loading
        case ready
        case failed(String)
    }

    let manifest: Manifest
    @Published private(set) var state = State.loading
    @Published private(set) var hud = HudFigures()
    @Published private(set) var golden: String?
    @Published private(set) var units = ComputeUnits.all

    private let bundle: SceneBundle
    private let camera: OrbitCamera
    private var gestures = Gestures()
    private(set) var loop: FrameLoop?
    private(set) var renderer: FrameRenderer?
    private weak var view: MTKView?
    private var generation = 0  // of the model: what an earlier one says counts no more
    private var requested: Pose?
    private var lastDraw: TimeInterval?
    private var lastHud = 0.0
    private var suspended = false

    /// Seconds between changes of the figures: they are to be read.
    private static let hudInterval = 0.25

    init(_ bundle: SceneBundle) {
        self.bundle = bundle
        manifest = bundle.manifest
        camera = OrbitCamera(bundle.manifest)
    }

    /// Where the camera begins: what AR puts before the phone.
    var start: Pose { OrbitCamera(manifest).c2w }

    /// Loads the model for `units`; what was loaded before is released.
    func load(_ units: ComputeUnits) async {
        generation += 1
        let mine = generation
        state = .loading
        self.units = units
        (loop, requested, golden) = (nil, nil, nil)
        hud = HudFigures()
        do {
            let renderer = try renderer ?? FrameRenderer(.bgra8Unorm)
            self.renderer = renderer
            let model = try await NelfModel.load(bundle, units: units)
            if mine != generation { return }  // other units were chosen meanwhile
            loop = try FrameLoop(
                model, device: renderer.device, output: manifest.model.output,
                onFrame: { [weak self] in self?.arrived() },
                onFailure: { [weak self] in self?.failed($0, mine) })
            state = .ready
            wake()
        } catch {
            failed(error, mine)
        }
    }

    private func failed(_ error: any Error, _ mine: Int) {
        if mine == generation { state = .failed(error.localizedDescription) }
    }

    /// Another screen draws with the model: this one does not until `resume`.
    func suspend() {
        suspended = true
        view?.isPaused = true
    }

    func resume() {
        suspended = false
        requested = nil  // the newest image is the other screen's
        wake()
    }

    func attach(_ view: MTKView) {
        self.view = view
        view.device = renderer?.device
        view.colorPixelFormat = .bgra8Unorm
        let color = manifest.image.background
        view.clearColor = MTLClearColor(red: color[0], green: color[1], blue: color[2], alpha: 1)
        view.delegate = self
        wake()
    }

    func touch(_ points: [CGPoint], at seconds: TimeInterval) {
        let first = points.first ?? .zero
        let second = points.count > 1 ? points[1] : .zero
        gestures.touch(
            points.count, (Double(first.x), Double(first.y)), (Double(second.x), Double(second.y)), at: seconds,
            camera: camera)
        wake()
    }

    func cancelTouches(at seconds: TimeInterval) {
        gestures.cancel(at: seconds, camera: camera)
        wake()
    }

    func reset() {
        camera.reset()
        wake()
    }

    /// Renders the golden views and says how near they come.
    func checkGolden() async {
        guard let loop else { return }
        golden = "Checking…"
        let said = await compare(loop)
        if loop === self.loop { golden = said }  // else it is of units that are no longer used
    }

    private func compare(_ loop: FrameLoop) async -> String {
        do {
            let results = try await GoldenCheck.run(bundle, loop)
            let worst = results.map(\.psnr).min() ?? 0
            let passed = results.allSatisfy(\.passed)
            let figures = String(format: "%.1f dB (%.0f dB needed)", worst, Difference.required)
            return "\(passed ? "Passed" : "FAILED"): \(results.count) views, at least \(figures)"
        } catch {
            return error.localizedDescription
        }
    }

    /// Frames are drawn again until the camera stands and its image is there.
    private func wake() {
        if !suspended { view?.isPaused = false }
    }

    private func arrived() {
        let now = ProcessInfo.processInfo.systemUptime
        if now - lastHud >= Self.hudInterval, let loop {
            lastHud = now
            hud = loop.figures()
        }
        wake()
    }
}

extension ViewerModel: MTKViewDelegate {
    func mtkView(_ view: MTKView, drawableSizeWillChange size: CGSize) {
        camera.resize(view.bounds.width, view.bounds.height)
        wake()
    }

    func draw(in view: MTKView) {
        guard let loop, let renderer, !suspended else {
            view.isPaused = true
            return
        }
        let now = ProcessInfo.processInfo.systemUptime
        // A pause is no time that the camera moved in.
        camera.step(lastDraw.map { now - $0 } ?? 0)
        let pose = camera.c2w
        let changed = pose != requested
        if changed {
            loop.request(pose)
            requested = pose
        }
        let size = view.drawableSize
        renderer.draw(
            loop.buffers, manifest.image, at: FrameRenderer.fitted(manifest.image, size.width, size.height), in: view)
        let rests = !changed && !camera.moving
        view.isPaused = rests
        lastDraw = rests ? nil : now
    }
}
