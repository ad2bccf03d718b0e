import Foundation
import Metal
import NelfKit

/// Renders the newest pose on a queue of its own. Without a new pose nothing runs.
final class FrameLoop: @unchecked Sendable {
    /// Seconds after which it is tried again where the GPU still reads every buffer.
    private static let patience = 0.002

    let buffers: FrameBuffers<ImageBuffer>

    private let model: NelfModel
    private let poses = LatestPose()
    private let queue = DispatchQueue(label: "org.nelf.frames", qos: .userInteractive)
    /// Wakes the main thread: made once, and signals that it has not seen become one.
    private let arrivals = DispatchSource.makeUserDataOrSource(queue: .main)

    private let lock = NSLock()
    private var statistics = FrameStatistics()
    private var copies = 0
    private var failure: (any Error)?

    /// `onFrame` is called when an image, or several, can be borrowed from `buffers`; `onFailure` when the model failed.
    init(
        _ model: NelfModel, device: any MTLDevice, output: TensorInfo, onFrame: @escaping @MainActor () -> Void,
        onFailure: @escaping @MainActor (any Error) -> Void
    ) throws {
        self.model = model
        buffers = try FrameBuffers { _ in try ImageBuffer(device: device, output: output) }
        arrivals.setEventHandler { [weak self] in
            guard let self else { return }
            let failure = lock.withLock { self.failure }
            MainActor.assumeIsolated {
                if let failure { onFailure(failure) } else { onFrame() }
            }
        }
        arrivals.activate()
    }

    deinit { arrivals.cancel() }

    /// Asks for an image from `c2w`, in place of any that was asked for and not begun.
    func request(_ c2w: Pose) {
        if poses.request(c2w) { queue.async { [weak self] in self?.work() } }
    }

    /// Times until now.
    func figures() -> HudFigures {
        lock.withLock { HudFigures(&statistics, copies: copies, at: ProcessInfo.processInfo.systemUptime) }
    }

    /// Runs `task` between two frames, with a buffer of its own.
    func run<Result>(_ task: @escaping (NelfModel, ImageBuffer) throws -> Result) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { [self] in
                guard let slot = buffers.acquire() else {
                    return continuation.resume(throwing: ModelError("All buffers are in use; try again"))
                }
                defer { buffers.abandon(slot) }
                continuation.resume(with: Swift.Result { try autoreleasepool { try task(model, buffers[slot]) } })
            }
        }
    }

    private func work() {
        while let pose = poses.next() {
            guard let slot = buffers.acquire() else {
                poses.postpone(pose)
                return queue.asyncAfter(deadline: .now() + Self.patience) { [weak self] in self?.work() }
            }
            do {
                // Core ML's results are autoreleased, and this queue drains its pool when it has nothing more to do.
                let milliseconds = try autoreleasepool { try model.render(pose, into: buffers[slot]) }
                buffers.publish(slot)
                lock.withLock {
                    statistics.add(milliseconds, at: ProcessInfo.processInfo.systemUptime)
                    copies = model.copies
                }
            } catch {
                buffers.abandon(slot)
                lock.withLock { failure = error }
            }
            arrivals.or(data: 1)
        }
    }
}
