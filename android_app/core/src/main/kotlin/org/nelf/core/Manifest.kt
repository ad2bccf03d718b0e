package org.nelf.core

/** `manifest.json` of a bundle, read and checked by [readManifest]. nelf/export/contract.py documents the fields. */
class Manifest(
    val version: String,
    val name: String,
    val kind: String,
    val target: String,
    val precision: String,
    val image: ImageInfo,
    val camera: CameraInfo,
    val region: Region,
    val model: ModelInfo,
    val files: List<FileInfo>,
    val golden: String,
    val parity: Parity,
    val student: StudentInfo,
) {
    /** Why this app does not show the bundle; null: it does. */
    val unsupported: Unsupported?
        get() =
            when {
                target != TARGET -> Unsupported.TARGET
                model.output.dtype != "float32" || model.output.layout != "NHWC" -> Unsupported.OUTPUT
                else -> null
            }

    companion object {
        /** The target of `nelf export` whose bundles this app shows. */
        const val TARGET = "android"
    }
}

class ImageInfo(
    val width: Int,
    val height: Int,
    val channels: Int,
    val alpha: String,
    val background: List<Double>,
) {
    /** Numbers of one image. */
    val size: Int get() = width * height * channels
}

/** World space is the scene's; [intrinsics] are fx, fy, cx, cy in pixels. */
class CameraInfo(
    val intrinsics: List<Double>,
    val near: Double,
    val far: Double,
    val up: List<Double>,
    val focus: List<Double>,
)

/** The poses that training covered; angles in degrees. */
sealed interface Region

/** Cameras around an object, in spherical coordinates about [center]. */
class OrbitRegion(
    val center: List<Double>,
    val up: List<Double>,
    val radius: List<Double>,
    val elevation: List<Double>,
    val azimuthZero: List<Double>,
    val azimuthStart: Double,
    val azimuthWidth: Double,
) : Region

/** Cameras in a box in the frame of the camera [reference]; [covered]: some of them, where the box says too little. */
class BoxRegion(
    val reference: List<Double>,
    val low: List<Double>,
    val high: List<Double>,
    val angle: Double,
    val covered: Covered?,
) : Region

/** Cameras (c2w row by row) to stay near: [reach] in world units, [turn] in degrees. */
class Covered(
    val cameras: List<List<Double>>,
    val reach: Double,
    val turn: Double,
)

class TensorInfo(
    val name: String,
    val shape: List<Int>,
    val dtype: String,
    val layout: String,
)

class ModelInfo(
    val path: String,
    val input: TensorInfo,
    val output: TensorInfo,
)

class FileInfo(
    val path: String,
    val role: String,
    val bytes: Long,
    val sha256: String,
)

/** [requiredPsnr] and [allowedError]: limits of the export, null where it was not executed. */
class Parity(
    val status: String,
    val requiredPsnr: Double?,
    val allowedError: Double?,
)

class StudentInfo(
    val name: String,
    val parameters: Long,
    val macs: Long,
)
