import ARKit
import MetalKit
import NelfKit
import SwiftUI

/// The scene in the room: the phone is the camera, and what it sees stands behind the object.
struct RoomScreen: View {
    let model: ViewerModel
    @StateObject private var room: RoomModel
    @Environment(\.dismiss) private var dismiss

    init(model: ViewerModel) {
        self.model = model
        _room = StateObject(wrappedValue: RoomModel(model))
    }

    /// Needs ARKit, and an object that was cut out from its background.
    static func isPossible(_ manifest: Manifest) -> Bool {
        guard case .shell = manifest.region else { return false }
        return manifest.image.hasAlpha && ARWorldTrackingConfiguration.isSupported
    }

    var body: some View {
        ZStack(alignment: .top) {
            RoomView(room: room).ignoresSafeArea()
            VStack {
                if let hint = room.hint {
                    Text(hint).padding(8).background(.thinMaterial)
                }
                Spacer()
                HStack {
                    Button("Put it here") { room.place() }
                    Spacer()
                    Button("Done") { dismiss() }
                }
                .padding()
                .background(.thinMaterial)
            }
        }
        .onDisappear { room.stop() }
    }
}

private struct RoomView: UIViewRepresentable {
    let room: RoomModel

    func makeUIView(context: Context) -> MTKView {
        let view = MTKView(frame: .zero, device: nil)
        room.start(view)
        return view
    }

    func updateUIView(_ view: MTKView, context: Context) {}
}
