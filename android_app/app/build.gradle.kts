plugins {
    alias(libs.plugins.android.application)
}

android {
    namespace = "org.nelf.viewer"
    compileSdk {
        version =
            release(
                libs.versions.compile.sdk
                    .get()
                    .toInt(),
            )
    }

    defaultConfig {
        applicationId = "org.nelf.viewer"
        minSdk =
            libs.versions.min.sdk
                .get()
                .toInt()
        targetSdk =
            libs.versions.target.sdk
                .get()
                .toInt()
        versionCode = 1
        versionName = "0.1.0"
    }

    androidResources {
        // LiteRT maps the model from the APK, which must not compress it.
        noCompress += "tflite"
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

dependencies {
    implementation(project(":core"))
    implementation(libs.litert)
    implementation(libs.litert.gpu)
}
