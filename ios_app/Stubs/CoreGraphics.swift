@_exported import Foundation

public typealias CFURL = URL
public typealias CFString = String
public typealias CFData = Data
public typealias CFDictionary = [String: Any]
public typealias CFAllocator = AnyObject

nonisolated(unsafe) public let kCFAllocatorDefault: CFAllocator? = nil

public struct CGAffineTransform: Sendable {
    public var a, b, c, d, tx, ty: CGFloat
    public func inverted() -> CGAffineTransform { self }
}

public final class CGDataProvider {
    public var data: CFData? { nil }
}

public final class CGImage {
    public var width: Int { 0 }
    public var height: Int { 0 }
    public var bitsPerComponent: Int { 0 }
    public var bitsPerPixel: Int { 0 }
    public var bytesPerRow: Int { 0 }
    public var dataProvider: CGDataProvider? { nil }
}
