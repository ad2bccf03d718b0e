import Foundation

/// A fixed set of buffers that go round between one writer (inference) and its readers (frames that the GPU still draws).
///
/// The newest image wins: one that nobody has borrowed yet is replaced. Nothing is allocated after `init`. Any thread
/// may call.
public final class FrameBuffers<Buffer>: @unchecked Sendable {
    private enum State {
        case free, writing, ready
    }

    private let lock = NSLock()
    private let buffers: [Buffer]
    private var states: [State]
    private var readers: [Int]

    /// Five are always enough: one written, one ready, and one for each of the three frames that Metal has in flight.
    public init(count: Int = 5, make: (Int) throws -> Buffer) rethrows {
        buffers = try (0..<count).map(make)
        states = Array(repeating: .free, count: count)
        readers = Array(repeating: 0, count: count)
    }

    public subscript(slot: Int) -> Buffer { buffers[slot] }

    /// A buffer to write that nobody reads; nil while there is none. It is the caller's until `publish` or `abandon`.
    public func acquire() -> Int? {
        lock.lock()
        defer { lock.unlock() }
        for slot in buffers.indices where states[slot] == .free && readers[slot] == 0 {
            states[slot] = .writing
            return slot
        }
        return nil
    }

    /// The written buffer is the newest from now on.
    public func publish(_ slot: Int) {
        lock.lock()
        defer { lock.unlock() }
        for other in buffers.indices where states[other] == .ready { states[other] = .free }
        states[slot] = .ready
    }

    /// The writer failed; what was newest stays so.
    public func abandon(_ slot: Int) {
        lock.lock()
        defer { lock.unlock() }
        states[slot] = .free
    }

    /// The newest image, to be given back with `release` (from the command buffer's completion handler).
    public func borrow() -> Int? {
        lock.lock()
        defer { lock.unlock() }
        for slot in buffers.indices where states[slot] == .ready {
            readers[slot] += 1
            return slot
        }
        return nil
    }

    public func release(_ slot: Int) {
        lock.lock()
        defer { lock.unlock() }
        readers[slot] -= 1
    }
}
