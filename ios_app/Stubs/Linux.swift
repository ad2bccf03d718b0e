// What Apple's Foundation has and Linux's has not; compiled together with the app's sources.
import Foundation

extension ProcessInfo {
    enum ThermalState: Int { case nominal, fair, serious, critical }
    var thermalState: ThermalState { .nominal }
}

func autoreleasepool<Result>(invoking body: () throws -> Result) rethrows -> Result { try body() }

extension URL {
    static var documentsDirectory: URL { URL(fileURLWithPath: "/") }
    func startAccessingSecurityScopedResource() -> Bool { true }
    func stopAccessingSecurityScopedResource() {}
}
