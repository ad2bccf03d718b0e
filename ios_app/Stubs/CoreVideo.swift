@_exported import CoreGraphics
import Metal

public final class CVBuffer {}
public typealias CVPixelBuffer = CVBuffer
public typealias CVReturn = Int32
public final class CVMetalTextureCache {}
public final class CVMetalTexture {}

public func CVPixelBufferGetWidthOfPlane(_ buffer: CVPixelBuffer, _ plane: Int) -> Int { 0 }
public func CVPixelBufferGetHeightOfPlane(_ buffer: CVPixelBuffer, _ plane: Int) -> Int { 0 }
public func CVMetalTextureGetTexture(_ texture: CVMetalTexture) -> (any MTLTexture)? { nil }

@discardableResult
public func CVMetalTextureCacheCreate(
    _ allocator: CFAllocator?, _ attributes: CFDictionary?, _ device: any MTLDevice, _ textureAttributes: CFDictionary?,
    _ cache: UnsafeMutablePointer<CVMetalTextureCache?>
) -> CVReturn { 0 }

@discardableResult
public func CVMetalTextureCacheCreateTextureFromImage(
    _ allocator: CFAllocator?, _ cache: CVMetalTextureCache, _ image: CVBuffer, _ attributes: CFDictionary?,
    _ format: MTLPixelFormat, _ width: Int, _ height: Int, _ plane: Int,
    _ texture: UnsafeMutablePointer<CVMetalTexture?>
) -> CVReturn { 0 }
