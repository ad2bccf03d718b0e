@_exported import Foundation

public typealias CFString = String
public typealias CFDictionary = [String: Any]
public typealias CFAllocator = AnyObject

nonisolated(unsafe) public let kCFAllocatorDefault: CFAllocator? = nil

public struct CGAffineTransform: Sendable {
    public var a, b, c, d, tx, ty: CGFloat
    public func inverted() -> CGAffineTransform { self }
}
