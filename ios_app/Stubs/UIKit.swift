@_exported import CoreGraphics
@_exported import Foundation

public enum UIInterfaceOrientation: Int { case unknown, portrait, portraitUpsideDown, landscapeLeft, landscapeRight }

@MainActor open class UIResponder: NSObject {
    open func touchesBegan(_ touches: Set<UITouch>, with event: UIEvent?) {}
    open func touchesMoved(_ touches: Set<UITouch>, with event: UIEvent?) {}
    open func touchesEnded(_ touches: Set<UITouch>, with event: UIEvent?) {}
    open func touchesCancelled(_ touches: Set<UITouch>, with event: UIEvent?) {}
}

@MainActor open class UIView: UIResponder {
    public var bounds: CGRect { .zero }
    public var isMultipleTouchEnabled = false
}

@MainActor open class UITouch: NSObject {
    public func location(in view: UIView?) -> CGPoint { .zero }
}

@MainActor open class UIEvent: NSObject {
    public var timestamp: TimeInterval { 0 }
}

@MainActor open class UIDevice: NSObject {
    public static var current: UIDevice { UIDevice() }
    public var systemName: String { "" }
    public var systemVersion: String { "" }
    public enum BatteryState: Int { case unknown, unplugged, charging, full }
    public var isBatteryMonitoringEnabled = false
    public var batteryLevel: Float { -1 }
    public var batteryState: BatteryState { .unknown }
}

@MainActor open class UIScene: UIResponder {}

@MainActor open class UIWindowScene: UIScene {
    public var interfaceOrientation: UIInterfaceOrientation { .unknown }
}

@MainActor open class UIApplication: UIResponder {
    public static var shared: UIApplication { UIApplication() }
    public var connectedScenes: Set<UIScene> { [] }
    public var isIdleTimerDisabled = false
    nonisolated public static let didEnterBackgroundNotification = Notification.Name("")
}
