plugins {
    alias(libs.plugins.kotlin.jvm)
}

kotlin {
    jvmToolchain(17)
    compilerOptions {
        allWarningsAsErrors = true
    }
}

dependencies {
    testImplementation(libs.junit)
    testImplementation(libs.kotlin.test.junit)
}

tasks.test {
    // Gestures and manifests that every viewer must treat alike; Python writes them.
    systemProperty("nelf.vectors", rootDir.resolve("../tests/vectors"))
}
