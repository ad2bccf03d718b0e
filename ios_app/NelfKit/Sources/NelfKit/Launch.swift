import Foundation

/// What the app was started with: `-benchmark BUNDLE [-units UNITS] [-minutes N] [-token TEXT]`.
public struct Launch: Equatable, Sendable {
    public let bundle: String
    public let units: ComputeUnits
    public let minutes: Double
    public let token: String

    /// The benchmark that `arguments` ask for; nil where they ask for none. Throws one line for what is wrong.
    public static func benchmark(_ arguments: [String]) throws -> Launch? {
        guard let bundle = value(of: "-benchmark", in: arguments) else { return nil }
        let given = value(of: "-units", in: arguments) ?? ComputeUnits.all.rawValue
        guard let units = ComputeUnits(rawValue: given) else {
            let known = ComputeUnits.allCases.map(\.rawValue).joined(separator: ", ")
            throw LaunchError("-units \(given) is not known; use one of \(known)")
        }
        let text = value(of: "-minutes", in: arguments) ?? "0.5"
        guard let minutes = Double(text), minutes > 0, minutes <= 60 else {
            throw LaunchError("-minutes \(text) is not between 0 and 60")
        }
        return Launch(
            bundle: bundle, units: units, minutes: minutes, token: value(of: "-token", in: arguments) ?? "")
    }

    private static func value(of option: String, in arguments: [String]) -> String? {
        guard let index = arguments.firstIndex(of: option), index + 1 < arguments.count else { return nil }
        return arguments[index + 1]
    }
}

public struct LaunchError: LocalizedError, Equatable {
    public let errorDescription: String?

    init(_ what: String) { errorDescription = what }
}
