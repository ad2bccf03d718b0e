import MetalKit
import SwiftUI

/// The Metal view, and its touches as the core's gestures take them.
struct FrameView: UIViewRepresentable {
    let model: ViewerModel

    func makeUIView(context: Context) -> TouchView {
        let view = TouchView(frame: .zero, device: nil)
        view.isMultipleTouchEnabled = true
        view.model = model
        model.attach(view)
        return view
    }

    func updateUIView(_ view: TouchView, context: Context) {}
}

final class TouchView: MTKView {
    weak var model: ViewerModel?
    private var fingers: [UITouch] = []  // in the order in which they came

    override func touchesBegan(_ touches: Set<UITouch>, with event: UIEvent?) {
        fingers += touches.filter { !fingers.contains($0) }
        report(event)
    }

    override func touchesMoved(_ touches: Set<UITouch>, with event: UIEvent?) {
        report(event)
    }

    override func touchesEnded(_ touches: Set<UITouch>, with event: UIEvent?) {
        fingers.removeAll { touches.contains($0) }
        report(event)
    }

    override func touchesCancelled(_ touches: Set<UITouch>, with event: UIEvent?) {
        fingers.removeAll()
        model?.cancelTouches(at: event?.timestamp ?? ProcessInfo.processInfo.systemUptime)
    }

    private func report(_ event: UIEvent?) {
        let points = fingers.map { $0.location(in: self) }
        model?.touch(points, at: event?.timestamp ?? ProcessInfo.processInfo.systemUptime)
    }
}
