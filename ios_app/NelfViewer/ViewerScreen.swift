import NelfKit
import SwiftUI

/// One scene: drag to orbit, pinch to come closer, two fingers to look aside, double tap to go back.
struct ViewerScreen: View {
    let name: String
    @StateObject private var model: ViewerModel
    @State private var showsHud = true
    @State private var showsAR = false

    init(bundle: SceneBundle, name: String) {
        self.name = name
        _model = StateObject(wrappedValue: ViewerModel(bundle))
    }

    var body: some View {
        ZStack(alignment: .topLeading) {
            content
            if showsHud { HudView(figures: model.hud, golden: model.golden) }
        }
        .navigationTitle(model.manifest.name)
        .navigationBarTitleDisplayMode(.inline)
        .toolbar { menu }
        .task { await model.load(.all) }
        .fullScreenCover(isPresented: $showsAR) { ARScreen(model: model) }
    }

    @ViewBuilder private var content: some View {
        switch model.state {
        case .loading:
            ProgressView("Preparing the model…").frame(maxWidth: .infinity, maxHeight: .infinity)
        case .ready:
            FrameView(model: model)
                .ignoresSafeArea(edges: .bottom)
                .accessibilityLabel("The scene \(model.manifest.name)")
                .accessibilityHint("Drag to look around, pinch to come closer, double tap to go back")
        case .failed(let reason):
            VStack(spacing: 12) {
                Image(systemName: "exclamationmark.triangle").font(.largeTitle)
                Text(reason).multilineTextAlignment(.center)
                Button("Try again") { Task { await model.load(model.units) } }
            }
            .padding()
            .frame(maxWidth: .infinity, maxHeight: .infinity)
        }
    }

    private var menu: some View {
        Menu {
            ForEach(ComputeUnits.allCases) { units in
                Button {
                    Task { await model.load(units) }
                } label: {
                    if units == model.units { Label(units.title, systemImage: "checkmark") } else { Text(units.title) }
                }
            }
            Divider()
            if ARScreen.isPossible(model.manifest) {
                Button("Show in the room") { showsAR = true }
            }
            Button("Go back to the start") { model.reset() }
            Button("Compare with golden views") { Task { await model.checkGolden() } }
            Toggle("Figures", isOn: $showsHud)
        } label: {
            Label("Options", systemImage: "ellipsis.circle")
        }
    }
}

/// Times and temperature, over the picture.
struct HudView: View {
    let figures: HudFigures
    let golden: String?

    var body: some View {
        VStack(alignment: .leading) {
            ForEach(figures.lines, id: \.self) { Text($0) }
            if let golden { Text(golden) }
        }
        .font(.caption.monospacedDigit())
        .padding(8)
        .background(.thinMaterial)
        .padding(8)
        .allowsHitTesting(false)
        .accessibilityElement(children: .combine)
    }
}
