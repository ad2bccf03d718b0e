"""What viewers do, in Python: the reference that the apps in Swift, Kotlin and TypeScript are held to."""
