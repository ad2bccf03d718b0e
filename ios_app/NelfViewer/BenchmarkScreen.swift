import NelfKit
import SwiftUI

/// Runs the benchmark that the launch arguments ask for, and says where its file is.
struct BenchmarkScreen: View {
    @ObservedObject var store: BundleStore
    @State private var text = "Measuring…"

    var body: some View {
        Text(text)
            .padding()
            .task {
                do {
                    text = "Written: \(try await BenchmarkRun.run(ProcessInfo.processInfo.arguments, store))"
                } catch {
                    text = error.localizedDescription
                }
            }
    }
}
