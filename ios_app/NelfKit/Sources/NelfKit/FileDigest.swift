import Foundation

#if canImport(CryptoKit)
    import CryptoKit
#endif

/// Size and SHA-256 of a file, read in pieces.
enum FileDigest {
    private static let piece = 1 << 20

    static func sha256(of url: URL) throws -> String {
        let handle = try FileHandle(forReadingFrom: url)
        defer { try? handle.close() }
        #if canImport(CryptoKit)
            var hasher = CryptoKit.SHA256()
            while let data = try handle.read(upToCount: piece), !data.isEmpty { hasher.update(data: data) }
            return hasher.finalize().map { String(format: "%02x", $0) }.joined()
        #else
            var hasher = SHA256()
            while let data = try handle.read(upToCount: piece), !data.isEmpty { hasher.update(data) }
            return hasher.finalize()
        #endif
    }
}

/// SHA-256 of short texts, for names of things kept.
public enum Digest {
    public static func sha256(of text: String) -> String {
        var hasher = NelfKit.SHA256()
        hasher.update(text.utf8)
        return hasher.finalize()
    }
}
