import Foundation

/// What the app was started with:
/// `-benchmark BUNDLE [-units UNITS] [-warm-up SECONDS] [-seconds N] [-minutes N] [-token TEXT]`.
public struct Launch: Equatable, Sendable {
    public let bundle: String
    public let units: ComputeUnits
    public let plan: Benchmark.Plan
    public let token: String

    /// The benchmark that `arguments` ask for; nil where they ask for none. Throws one line for what is wrong.
    public static func benchmark(_ arguments: [String]) throws -> Launch? {
        guard let bundle = value(of: "-benchmark", in: arguments) else { return nil }
        let given = value(of: "-units", in: arguments) ?? ComputeUnits.all.rawValue
        guard let units = ComputeUnits(rawValue: given) else {
            let known = ComputeUnits.allCases.map(\.rawValue).joined(separator: ", ")
            throw LaunchError("-units \(given) is not known; use one of \(known)")
        }
        let minutes = try number("-minutes", 0, in: arguments, 0...120)
        let plan = Benchmark.Plan(
            warmUpSeconds: try number("-warm-up", 3, in: arguments, 0...600),
            seconds: try number("-seconds", 30, in: arguments, 1...3600), minutes: minutes > 0 ? minutes : nil)
        return Launch(bundle: bundle, units: units, plan: plan, token: value(of: "-token", in: arguments) ?? "")
    }

    private static func number(
        _ option: String, _ usual: Double, in arguments: [String], _ allowed: ClosedRange<Double>
    ) throws -> Double {
        guard let text = value(of: option, in: arguments) else { return usual }
        guard let number = Double(text), allowed.contains(number) else {
            let range = "\(Int(allowed.lowerBound)) and \(Int(allowed.upperBound))"
            throw LaunchError("\(option) \(text) is not between \(range)")
        }
        return number
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
