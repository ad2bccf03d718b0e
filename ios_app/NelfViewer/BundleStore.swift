import Combine
import Foundation
import NelfKit

/// A bundle in the list: what it is, or why it cannot be opened.
struct BundleEntry: Identifiable {
    let folder: URL
    let shipped: Bool
    let content: Result<SceneBundle, any Error>

    var id: URL { folder }
    /// What people call it: the folder's name, without .nelf.
    var name: String {
        folder.pathExtension == "nelf"
            ? folder.deletingPathExtension().lastPathComponent : folder.lastPathComponent
    }
}

/// The bundles shipped with the app (Bundles/) and those that were opened from Files or AirDrop (copied to Documents).
@MainActor
final class BundleStore: ObservableObject {
    @Published private(set) var entries: [BundleEntry] = []
    @Published var failure: String?

    private var opened: URL {
        URL.documentsDirectory.appendingPathComponent("Bundles", isDirectory: true)
    }

    /// Looks at all folders; hashes are checked, off the main thread.
    func refresh() async {
        let shipped = Bundle.main.resourceURL?.appendingPathComponent("Bundles", isDirectory: true)
        let folders = Self.folders(in: opened).map { ($0, false) } + Self.folders(in: shipped).map { ($0, true) }
        entries = await Task.detached {
            folders.map { folder, shipped in
                BundleEntry(folder: folder, shipped: shipped, content: Result { try SceneBundle(folder) })
            }
        }.value
    }

    private static func folders(in parent: URL?) -> [URL] {
        guard let parent,
            let found = try? FileManager.default.contentsOfDirectory(
                at: parent, includingPropertiesForKeys: [.isDirectoryKey], options: .skipsHiddenFiles)
        else { return [] }
        return found.filter(\.hasDirectoryPath).sorted { $0.lastPathComponent < $1.lastPathComponent }
    }

    /// Copies a folder that was picked in Files or sent by AirDrop, once it has been checked.
    func add(_ source: URL) async {
        let scoped = source.startAccessingSecurityScopedResource()
        defer { if scoped { source.stopAccessingSecurityScopedResource() } }
        let parent = opened
        do {
            try await Task.detached {
                _ = try SceneBundle(source)
                let files = FileManager.default
                try files.createDirectory(at: parent, withIntermediateDirectories: true)
                let target = parent.appendingPathComponent(source.lastPathComponent, isDirectory: true)
                let partial = parent.appendingPathComponent(".partial-\(UUID().uuidString)", isDirectory: true)
                defer { try? files.removeItem(at: partial) }
                try files.copyItem(at: source, to: partial)
                if files.fileExists(atPath: target.path) { try files.removeItem(at: target) }
                try files.moveItem(at: partial, to: target)
            }.value
            await refresh()
        } catch {
            failure = "\(source.lastPathComponent): \(error.localizedDescription)"
        }
    }

    func remove(_ entry: BundleEntry) async {
        do {
            try FileManager.default.removeItem(at: entry.folder)
        } catch {
            failure = error.localizedDescription
        }
        await refresh()
    }
}
