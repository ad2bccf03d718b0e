import NelfKit
import SwiftUI
import UniformTypeIdentifiers

/// Every bundle that the app knows, and a way to open more.
struct BundleListScreen: View {
    @ObservedObject var store: BundleStore
    @State private var picking = false

    var body: some View {
        NavigationStack {
            List {
                ForEach(store.entries) { entry in
                    BundleRow(entry: entry)
                        .swipeActions {
                            if !entry.shipped {
                                Button("Delete", role: .destructive) { Task { await store.remove(entry) } }
                            }
                        }
                }
                if store.entries.isEmpty {
                    Text(
                        "No scenes yet. Make one with: nelf export RUN --target ios, "
                            + "then send its folder here by AirDrop or open it from Files."
                    )
                    .foregroundStyle(.secondary)
                }
            }
            .navigationTitle("Scenes")
            .toolbar {
                Button("Open", systemImage: "folder.badge.plus") { picking = true }
                    .accessibilityLabel("Open a scene from Files")
            }
            .refreshable { await store.refresh() }
        }
        .task { await store.refresh() }
        .onOpenURL { url in Task { await store.add(url) } }
        .fileImporter(isPresented: $picking, allowedContentTypes: [.folder, .nelfBundle]) { result in
            switch result {
            case .success(let url): Task { await store.add(url) }
            case .failure(let error): store.failure = error.localizedDescription
            }
        }
        .alert("This scene cannot be opened", isPresented: failed) {
        } message: {
            Text(store.failure ?? "")
        }
    }

    private var failed: Binding<Bool> {
        Binding(get: { store.failure != nil }, set: { if !$0 { store.failure = nil } })
    }
}

private struct BundleRow: View {
    let entry: BundleEntry

    var body: some View {
        switch entry.content {
        case .success(let bundle):
            NavigationLink {
                ViewerScreen(bundle: bundle, name: entry.name)
            } label: {
                VStack(alignment: .leading) {
                    Text(bundle.manifest.name).font(.headline)
                    Text(details(bundle.manifest)).font(.caption).foregroundStyle(.secondary)
                }
            }
        case .failure(let error):
            VStack(alignment: .leading) {
                Text(entry.name).font(.headline)
                Label(error.localizedDescription, systemImage: "exclamationmark.triangle")
                    .font(.caption)
                    .foregroundStyle(.red)
            }
        }
    }

    private func details(_ manifest: Manifest) -> String {
        let (image, type) = (manifest.image, manifest.sceneType.rawValue)
        return "\(entry.name) · \(type) · \(image.width) × \(image.height) · \(manifest.precision)"
    }
}

extension UTType {
    /// A bundle's folder whose name ends in .nelf: one document for Files and AirDrop.
    static let nelfBundle = UTType(exportedAs: "org.nelf.bundle", conformingTo: .package)
}
