import Foundation
import Metal
import NelfKit

/// Renders the newest pose on a queue of its own. Without a new pose nothing runs.
final class FrameLoop: @unchecked Sendable {
    let buffers: FrameBuffers<ImageBuffer>
    let model: NelfModel

    private let poses = LatestPose()
    private let queue = DispatchQueue(label: "org.nelf.frames", qos: .userInteractive)
    private let onFrame: @MainActor (Double) -> Void
    private let onFailure: @MainActor (any Error) -> Void

    /// `onFrame` gets the milliseconds that the model took, once its image can be borrowed from `buffers`.
    init(
        _ model: NelfModel, device: any MTLDevice, output: TensorInfo, onFrame: @escaping @MainActor (Double) -> Void,
        onFailure: @escaping @MainActor (any Error) -> Void
    ) throws {
        self.model = model
        self.onFrame = onFrame
        self.onFailure = onFailure
        buffers = try FrameBuffers { _ in try ImageBuffer(device: device, output: output) }
    }

    /// Asks for an image from `c2w`, in place of any that was asked for and not begun.
    func request(_ c2w: Pose) {
        if poses.request(c2w) { queue.async { [weak self] in self?.work() } }
    }

    /// Runs `task` between two frames, with a buffer of its own.
    func run<Result>(_ task: @escaping (NelfModel, ImageBuffer) throws -> Result) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { [self] in
                guard let slot = buffers.acquire() else {
                    return continuation.resume(throwing: ModelError("All buffers are in use; try again"))
                }
                defer { buffers.abandon(slot) }
                continuation.resume(with: Swift.Result { try task(model, buffers[slot]) })
            }
        }
    }

    private func work() {
        while let pose = poses.next() {
            guard let slot = buffers.acquire() else { continue }  // there is one: see FrameBuffers
            do {
                let milliseconds = try model.render(pose, into: buffers[slot])
                buffers.publish(slot)
                Task { @MainActor in onFrame(milliseconds) }
            } catch {
                buffers.abandon(slot)
                Task { @MainActor in onFailure(error) }
            }
        }
    }
}
