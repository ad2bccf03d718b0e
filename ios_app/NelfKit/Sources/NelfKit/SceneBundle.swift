import Foundation

/// A bundle on disk whose manifest was read and whose files were checked: whole, unchanged, and inside the folder.
public struct SceneBundle: Sendable {
    public let folder: URL
    public let manifest: Manifest

    /// Reads the manifest and checks every listed file. Throws a `BundleError`.
    public init(_ folder: URL) throws {
        self.folder = folder
        let file = folder.appendingPathComponent(Manifest.file)
        guard let size = Self.size(of: file) else {
            throw BundleError(.notABundle, "There is no manifest.json in \(folder.lastPathComponent)")
        }
        guard size <= Manifest.mostBytes, let data = try? Data(contentsOf: file) else {
            throw BundleError(
                .invalidManifest, "The manifest cannot be read, or has more than \(Manifest.mostBytes) bytes")
        }
        manifest = try Manifest(data)
        try checkFiles()
    }

    /// The file `name` of the bundle; throws for a name that leads out of it, here or elsewhere.
    public func url(of name: String) throws -> URL {
        let url = folder.appendingPathComponent(name)
        let inside = folder.resolvingSymlinksInPath().path + "/"
        guard Self.isPlain(name), (url.resolvingSymlinksInPath().path + "/").hasPrefix(inside) else {
            throw BundleError(.unsafePath, "The manifest names a file that is or could be outside the bundle: \(name)")
        }
        return url
    }

    /// Whether a name means the same file on every system and in a URL.
    static func isPlain(_ name: String) -> Bool {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        return parts.allSatisfy { !["", ".", ".."].contains($0) }
            && name.unicodeScalars.allSatisfy { $0.value >= 0x20 && !"\\:%\u{7F}".unicodeScalars.contains($0) }
    }

    private func checkFiles() throws {
        let listed = manifest.files.map(\.path)
        for name in listed + manifest.needed { _ = try url(of: name) }
        if let twice = listed.first(where: { name in listed.filter { $0 == name }.count > 1 }) {
            throw BundleError(.invalidManifest, "The manifest lists \(twice) twice")
        }
        for name in manifest.needed
        where !listed.contains(where: { $0 == name || $0.hasPrefix(name + "/") }) {
            throw BundleError(.invalidManifest, "The manifest does not list \(name), which it needs")
        }
        for file in manifest.files { try check(file) }
    }

    private func check(_ file: FileInfo) throws {
        let url = folder.appendingPathComponent(file.path)
        guard let size = Self.size(of: url) else { throw BundleError(.damagedFile, "\(file.path) is missing") }
        if size != file.bytes {
            throw BundleError(.damagedFile, "\(file.path) has \(size) bytes, the manifest says \(file.bytes)")
        }
        guard (try? FileDigest.sha256(of: url)) == file.sha256 else {
            throw BundleError(.damagedFile, "\(file.path) was changed")
        }
    }

    /// Bytes of a regular file; nil where there is none.
    private static func size(of url: URL) -> Int? {
        let path = url.resolvingSymlinksInPath().path
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: path),
            attributes[.type] as? FileAttributeType == .typeRegular
        else { return nil }
        return (attributes[.size] as? NSNumber)?.intValue
    }
}
