import Foundation

/// The pose to render next. Only the newest counts: while the model is busy older ones are overwritten, never queued.
///
/// Any thread may call. Nothing is allocated.
public final class LatestPose: @unchecked Sendable {
    private let lock = NSLock()
    private var pose: Pose?
    private var busy = false

    public init() {}

    /// Asks for an image. True: nobody works, so the caller must see to it that `next` is called until it gives nil.
    public func request(_ pose: Pose) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        self.pose = pose
        defer { busy = true }
        return !busy
    }

    /// The pose to render now; nil: there is none, and the caller stops working.
    public func next() -> Pose? {
        lock.lock()
        defer { lock.unlock() }
        defer { pose = nil }
        busy = pose != nil
        return pose
    }

    /// `pose`, which `next` gave, cannot be rendered yet: it waits on, unless a newer one does. The caller calls `next`
    /// again, later.
    public func postpone(_ pose: Pose) {
        lock.lock()
        defer { lock.unlock() }
        self.pose = self.pose ?? pose
    }
}
