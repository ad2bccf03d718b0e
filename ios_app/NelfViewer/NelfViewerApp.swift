import NelfKit
import SwiftUI

@main
struct NelfViewerApp: App {
    @StateObject private var store = BundleStore()

    var body: some Scene {
        WindowGroup {
            if ProcessInfo.processInfo.arguments.contains("-benchmark") {
                BenchmarkScreen(store: store)
            } else {
                BundleListScreen(store: store)
            }
        }
    }
}
