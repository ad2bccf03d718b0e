// swift-tools-version: 5.9
import PackageDescription

let package = Package(
    name: "NelfKit",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [.library(name: "NelfKit", targets: ["NelfKit"])],
    targets: [
        .target(name: "NelfKit"),
        .target(name: "AllocationCounter", path: "Tests/AllocationCounter"),
        .testTarget(name: "NelfKitTests", dependencies: ["NelfKit", "AllocationCounter"]),
    ]
)
