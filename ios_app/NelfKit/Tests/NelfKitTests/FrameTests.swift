import AllocationCounter
import XCTest

@testable import NelfKit

final class FrameTests: XCTestCase {
    func testTheNewestImageWins() throws {
        let buffers = FrameBuffers { $0 }
        XCTAssertNil(buffers.borrow())
        let first = try XCTUnwrap(buffers.acquire())
        buffers.publish(first)
        let second = try XCTUnwrap(buffers.acquire())
        XCTAssertNotEqual(first, second)
        buffers.publish(second)
        XCTAssertEqual(buffers.borrow(), second)
    }

    func testWhatIsReadIsNotWritten() throws {
        let buffers = FrameBuffers(count: 4) { $0 }
        buffers.publish(try XCTUnwrap(buffers.acquire()))
        let read = try XCTUnwrap(buffers.borrow())
        XCTAssertEqual(buffers.borrow(), read)  // two frames may draw the same image
        for _ in 0..<20 {
            let written = try XCTUnwrap(buffers.acquire())
            XCTAssertNotEqual(written, read)
            buffers.publish(written)
        }
        buffers.release(read)
        let three = (0..<3).compactMap { _ in buffers.acquire() }
        XCTAssertFalse(three.contains(read))  // one reader is left
        XCTAssertNil(buffers.acquire())
        buffers.release(read)
        XCTAssertEqual(buffers.acquire(), read)
    }

    func testThereIsAlwaysOneToWrite() throws {
        let buffers = FrameBuffers { $0 }
        var inFlight: [Int] = []
        for _ in 0..<100 {
            buffers.publish(try XCTUnwrap(buffers.acquire()))
            inFlight.append(try XCTUnwrap(buffers.borrow()))
            if inFlight.count > 3 { buffers.release(inFlight.removeFirst()) }
        }
    }

    func testAnAbandonedBufferIsFreeAgain() throws {
        let buffers = FrameBuffers(count: 2) { $0 }
        let good = try XCTUnwrap(buffers.acquire())
        buffers.publish(good)
        for _ in 0..<5 { buffers.abandon(try XCTUnwrap(buffers.acquire())) }
        XCTAssertEqual(buffers.borrow(), good)
    }

    func testOnlyTheNewestPoseIsRendered() {
        let poses = LatestPose()
        let pose = { (x: Double) in
            Pose(right: Vector(1, 0, 0), up: Vector(0, 1, 0), back: Vector(0, 0, 1), eye: Vector(x, 0, 0))
        }
        XCTAssertNil(poses.next())
        XCTAssertTrue(poses.request(pose(1)))
        XCTAssertFalse(poses.request(pose(2)))
        XCTAssertEqual(poses.next(), pose(2))
        XCTAssertFalse(poses.request(pose(3)))  // the worker is at it, and asks again
        XCTAssertEqual(poses.next(), pose(3))
        XCTAssertNil(poses.next())
        XCTAssertTrue(poses.request(pose(4)))
    }

    func testAPoseThatCannotBeRenderedYetIsNotLost() {
        let poses = LatestPose()
        let pose = { (x: Double) in
            Pose(right: Vector(1, 0, 0), up: Vector(0, 1, 0), back: Vector(0, 0, 1), eye: Vector(x, 0, 0))
        }
        XCTAssertTrue(poses.request(pose(1)))
        for _ in 0..<2 {
            XCTAssertEqual(poses.next(), pose(1))
            poses.postpone(pose(1))
        }
        XCTAssertFalse(poses.request(pose(2)))  // the worker comes back for it
        XCTAssertEqual(poses.next(), pose(2))
        XCTAssertFalse(poses.request(pose(3)))
        poses.postpone(pose(2))
        XCTAssertEqual(poses.next(), pose(3))  // the newer one stays
        XCTAssertNil(poses.next())
    }

    /// What the core does for a frame: move the camera, hand its pose over, fill and show a buffer, note the time, and
    /// say how long frames take. In AR also: where the object is.
    func testAFrameAllocatesNothing() throws {
        try XCTSkipUnless(allocations_are_counted() == 1, "allocations are counted on Linux only")
        let before = allocation_count()
        withExtendedLifetime([Int](repeating: 0, count: Int.random(in: 100...101))) {}
        XCTAssertGreaterThan(allocation_count(), before, "the counter does not count")
        for name in ["around", "window", "ring"] {
            let manifest = try Vectors.manifest(name)
            let camera = OrbitCamera(manifest)
            let room = Pose(eye: Vector(0.3, 0.2, 2), back: Vector(0, 0, 1), above: Vector(0, 1, 0))
            let placement = ARPlacement(manifest, start: camera.c2w, before: room, distance: 1)
            let poses = LatestPose()
            let buffers = FrameBuffers { _ in UnsafeMutablePointer<Float>.allocate(capacity: 12) }
            defer { for slot in 0..<5 { buffers[slot].deallocate() } }
            var statistics = FrameStatistics()
            func frame(_ number: Int) {
                camera.drag(Double(number % 7), 1, 1 / 64)
                camera.pan(1, 1, 1 / 64)
                camera.pinch(1.01, 1 / 64)
                camera.step(1 / 64)
                _ = poses.request(camera.c2w)
                guard let pose = poses.next(), let slot = buffers.acquire() else { return XCTFail("no buffer") }
                pose.write(to: buffers[slot])
                buffers.publish(slot)
                guard let shown = buffers.borrow() else { return XCTFail("no image") }
                buffers.release(shown)
                statistics.add(Double(number % 11), at: Double(number))
                let shownTimes = statistics.median + statistics.p95
                XCTAssertTrue(shownTimes >= 0 && statistics.framesPerSecond(at: Double(number)) > 0)
                if let placement, placement.view(from: room) == nil { XCTFail("nothing to see") }
            }
            frame(0)  // warm-up
            let start = allocation_count()
            for number in 1...1000 { frame(number) }
            XCTAssertEqual(allocation_count() - start, 0, name)
        }
    }

    func testStatistics() {
        var statistics = FrameStatistics(capacity: 100)
        XCTAssertEqual(statistics.median, 0)
        for i in 1...150 { statistics.add(Double(i), at: Double(i) / 60) }
        XCTAssertEqual(statistics.median, 100)  // of 51...150
        XCTAssertEqual(statistics.p95, 145)
        XCTAssertEqual(statistics.framesPerSecond(at: 2.5), 60)
        XCTAssertEqual(statistics.framesPerSecond(at: 9), 0)
    }

    func testDifferences() {
        let golden: [UInt8] = [0, 51, 255, 128]
        let same = golden.map { Float($0) / 255 }
        XCTAssertTrue(same.withUnsafeBufferPointer { Difference($0, golden) }.psnr > 140)
        var off = same
        off[1] += 0.1
        let difference = off.withUnsafeBufferPointer { Difference($0, golden) }
        XCTAssertEqual(difference.psnr, 10 * log10(4 / 0.01), accuracy: 1e-4)
        XCTAssertEqual(difference.largest, 0.1, accuracy: 1e-6)
        XCTAssertFalse(difference.passed)
        // Two rows of one pixel, padded to 6 bytes: blue, green, red, alpha.
        let picture: [UInt8] = [30, 20, 10, 99, 1, 1, 60, 50, 40, 99, 1, 1]
        let right: [UInt8] = [10, 20, 30, 40, 50, 60]
        let compare = { (golden: [UInt8]) in
            picture.withUnsafeBytes { Difference(bgra: $0, bytesPerRow: 6, width: 1, golden) }
        }
        XCTAssertEqual(compare(right).psnr, 150)
        XCTAssertEqual(compare([10, 20, 30, 40, 50, 111]).largest, 51.0 / 255, accuracy: 1e-12)
        off[1] = .nan
        XCTAssertEqual(off.withUnsafeBufferPointer { Difference($0, golden) }.largest, 1)
    }
}
