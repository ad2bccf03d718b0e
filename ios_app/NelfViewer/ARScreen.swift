import ARKit
import MetalKit
import NelfKit
import SwiftUI

/// The scene in the room: the phone is the camera, and what it sees stands behind the object.
struct ARScreen: View {
    let model: ViewerModel
    @StateObject private var ar: ARModel
    @Environment(\.dismiss) private var dismiss

    init(model: ViewerModel) {
        self.model = model
        _ar = StateObject(wrappedValue: ARModel(model))
    }

    /// Needs ARKit, and an object that was cut out from its background.
    static func isPossible(_ manifest: Manifest) -> Bool {
        guard case .orbit = manifest.region else { return false }
        return manifest.image.hasAlpha && ARWorldTrackingConfiguration.isSupported
    }

    var body: some View {
        ZStack(alignment: .top) {
            ARCameraView(ar: ar).ignoresSafeArea()
            VStack {
                if let hint = ar.hint {
                    Text(hint).padding(8).background(.thinMaterial)
                }
                Spacer()
                HStack {
                    Button("Put it here") { ar.place() }
                    Spacer()
                    Button("Done") { dismiss() }
                }
                .padding()
                .background(.thinMaterial)
            }
        }
        .onDisappear { ar.stop() }
    }
}

private struct ARCameraView: UIViewRepresentable {
    let ar: ARModel

    func makeUIView(context: Context) -> MTKView {
        let view = MTKView(frame: .zero, device: nil)
        ar.start(view)
        return view
    }

    func updateUIView(_ view: MTKView, context: Context) {}
}
