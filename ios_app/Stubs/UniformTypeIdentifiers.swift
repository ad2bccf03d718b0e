public struct UTType: Sendable, Hashable {
    public init(exportedAs identifier: String, conformingTo parent: UTType? = nil) {}
    public static let folder = UTType(exportedAs: "")
    public static let package = UTType(exportedAs: "")
}
