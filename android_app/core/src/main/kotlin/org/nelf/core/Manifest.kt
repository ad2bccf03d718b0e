package org.nelf.core

import kotlin.math.abs

const val MANIFEST_FILE = "manifest.json"
private const val FORMAT = "nelf-bundle"
private val MAJORS = listOf("2", "3")
private val READ = MAJORS.joinToString(" and ")
private const val MOST_BYTES = 4 shl 20
private const val UNIT_TOLERANCE = 1e-3 // of a length; directions are stored in single precision
private const val RIGID_TOLERANCE = 0.01 // largest entry of R R^T - I
private val SIDES = 1L..8192L
private val ANGLES = 0.0..180.0
private val NOT_NEGATIVE = 0.0..Double.POSITIVE_INFINITY
internal val COUNTS = 1..(1L shl 53) - 1 // every JSON reader holds them exactly
private val VERSION = Regex("[23]\\.[0-9]+")
private val SHA256 = Regex("[0-9a-f]{64}")

/**
 * The manifest in [source], checked by itself: [checkFiles] looks at the files. Throws [BundleError]. Keys that a later
 * minor version added are ignored.
 */
fun readManifest(source: BundleSource): Manifest =
    parseManifest(
        source.read(MANIFEST_FILE, MOST_BYTES) ?: throw BundleError(
            BundleErrorCode.NOT_A_BUNDLE,
            "no $MANIFEST_FILE, so this is not a bundle; give what nelf export wrote",
        ),
    )

/** The manifest that [bytes] are. */
fun parseManifest(bytes: ByteArray): Manifest {
    if (bytes.size > MOST_BYTES) throw invalid("has more than $MOST_BYTES bytes")
    val content =
        try {
            Json.parse(bytes)
        } catch (error: JsonException) {
            throw invalid("cannot be read (${error.message})")
        }
    if (content !is Map<*, *> || content["format"] != FORMAT) {
        throw BundleError(
            BundleErrorCode.NOT_A_BUNDLE,
            "$MANIFEST_FILE is not that of a $FORMAT; give what nelf export wrote",
        )
    }
    val version = content["version"]
    // Before all other keys: another version has other keys.
    if (version is String && version.substringBefore('.') !in MAJORS) {
        throw BundleError(
            BundleErrorCode.UNSUPPORTED_VERSION,
            "the bundle has format version $version, this app reads $READ; update the app, or $EXPORT_AGAIN",
        )
    }
    return Manifest(Field(content))
}

private fun invalid(what: String) = BundleError(BundleErrorCode.INVALID_MANIFEST, "$MANIFEST_FILE $what; $EXPORT_AGAIN")

/** `manifest.json` of a bundle; nelf/bundle/manifest.py documents its keys. Each class reads and checks its part. */
class Manifest internal constructor(
    field: Field,
) {
    val name = field["name"].name()
    val sceneType = field["scene_type"].oneOf("object", "forward-facing", "unbounded")
    val target = field["target"].name()
    val precision = field["precision"].name()
    val image = ImageInfo(field["image"])
    val camera = CameraInfo(field["camera"])
    val region: Region = regionOf(field["region"])
    val model = ModelInfo(field["model"])
    val files = field["files"].items().map(::FileInfo)
    val golden = field["golden"].name()
    val program = field.optional("program")?.let { TileProgram(it) }

    /** Files that must be listed: the model, or a program's folder and its parts, and the golden poses. */
    val needed get() = listOf(model.path) + program?.parts.orEmpty() + golden

    init {
        val version = field["version"]
        version.check(VERSION.matches(version.text())) { "is not of the form 2.0" }
        field["files"].check(files.isNotEmpty()) { "is empty" }
        val shape = listOf(1, image.height, image.width, image.channels)
        field["model"].check(model.output.shape == shape) { "gives the shape ${model.output.shape}, not $shape" }
        program?.let {
            it.check(field["program"], image)
            version.check(!version.text().startsWith("2.")) { "is ${version.text()}, and a program needs 3.0" }
        }
        checkParity(field["parity"])
        field["student"]["name"].name()
        for (count in listOf("parameters", "macs")) field["student"][count].integer(COUNTS)
        field.checkTexts("deployment")
        field["provenance"].checkTexts("versions")
    }

    /** Why this app does not show the bundle, which is all right; null: it does. */
    val unsupported: BundleError?
        get() {
            val what =
                when {
                    target != TARGET -> "the bundle is for $target"
                    !model.output.isTensor -> "the model gives ${model.output.dtype} in ${model.output.layout}"
                    else -> return null
                }
            return BundleError(
                BundleErrorCode.UNSUPPORTED_TARGET,
                "$what; make one with: nelf export RUN --target $TARGET",
            )
        }

    private companion object {
        /** The target of `nelf export` whose bundles this app shows. */
        const val TARGET = "android"
    }
}

class ImageInfo internal constructor(
    field: Field,
) {
    val width = field["width"].integer(SIDES).toInt()
    val height = field["height"].integer(SIDES).toInt()
    val channels = field["channels"].integer(3L..4L).toInt()
    val background = field["background"].numbers(3, 0.0..1.0)

    init {
        val alpha = field["alpha"].oneOf("premultiplied", "none")
        field.check((alpha == "premultiplied") == (channels == 4)) { "has alpha $alpha with $channels channels" }
    }

    /** Numbers of one image. */
    val size: Int get() = width * height * channels
}

/** World space is the scene's; [intrinsics] are fx, fy, cx, cy in pixels. */
class CameraInfo internal constructor(
    field: Field,
) {
    val intrinsics = field["intrinsics"].numbers(4)
    val near = field["near"].positive()
    val far = field["far"].positive()
    val up = unitOf(field["up"])
    val focus = field["focus"].numbers(3)

    init {
        field["axes"].oneOf("opengl")
        for (focal in field["intrinsics"].items().take(2)) focal.positive()
        field.check(near < far) { "has near $near, not before far $far" }
    }
}

/** The poses that training covered; angles in degrees. */
sealed interface Region

private fun regionOf(field: Field): Region =
    if (field["type"].oneOf("orbit", "box") == "orbit") OrbitRegion(field) else BoxRegion(field)

/** Cameras around an object, in spherical coordinates about [center]. */
class OrbitRegion internal constructor(
    field: Field,
) : Region {
    val center = field["center"].numbers(3)
    val up = unitOf(field["up"])
    val radius = field["radius"].numbers(2, NOT_NEGATIVE)
    val elevation = field["elevation"].numbers(2, -90.0..90.0)
    val azimuthZero = unitOf(field["azimuth_zero"])
    val azimuthStart = field["azimuth_start"].number()
    val azimuthWidth = field["azimuth_width"].number(0.0..360.0)

    init {
        for ((low, high) in listOf(radius, elevation)) checkRange(field, low, high)
        field.check(abs(Vector(up).dot(Vector(azimuthZero))) <= UNIT_TOLERANCE) {
            "has an azimuth_zero that is not at right angles to up"
        }
    }
}

/** Cameras in a box in the frame of the camera [reference]; [nearby]: some of them, where the box says too little. */
class BoxRegion internal constructor(
    field: Field,
) : Region {
    val reference = poseOf(field["reference"])
    val low = field["low"].numbers(3)
    val high = field["high"].numbers(3)
    val angle = field["angle"].number(ANGLES)
    val nearby = field.optional("cameras")?.let { NearbyCameras(field) }

    init {
        for ((least, most) in low zip high) checkRange(field, least, most)
        field.optional("max_distance")?.number(NOT_NEGATIVE)
        field.optional("max_angle")?.number(ANGLES)
    }
}

/** Cameras (c2w row by row) to stay near: [maxDistance] in world units, [maxAngle] in degrees. */
class NearbyCameras internal constructor(
    box: Field,
) {
    val cameras = box["cameras"].items().map(::poseOf)
    val maxDistance = box["max_distance"].number(NOT_NEGATIVE)
    val maxAngle = box["max_angle"].number(ANGLES)

    init {
        box["cameras"].check(cameras.isNotEmpty()) { "is empty" }
    }
}

class TensorInfo internal constructor(
    field: Field,
    vararg dtypes: String,
) {
    val name = field["name"].name()
    val shape = field["shape"].items().map { it.integer(COUNTS).toInt() }
    val dtype = field["dtype"].oneOf(*dtypes)
    val layout = field["layout"].text()

    val isTensor: Boolean get() = dtype == "float32" && layout == "NHWC"
}

class ModelInfo internal constructor(
    field: Field,
) {
    val path = field["path"].name()
    val input = TensorInfo(field["input"], "float32")
    val output = TensorInfo(field["output"], "float32", "uint8")

    init {
        field["input"].check(input.shape == listOf(1, 3, 4)) { "has the shape ${input.shape}, which is not a pose" }
    }
}

class FileInfo internal constructor(
    field: Field,
) {
    val path = field["path"].name()
    val role = field["role"].oneOf("model", "golden", "page")
    val bytes = field["bytes"].integer(0..COUNTS.last)
    val sha256 = field["sha256"].text()

    init {
        field["sha256"].check(SHA256.matches(sha256)) { "is not a SHA-256" }
    }
}

private fun checkParity(field: Field) {
    if (field["status"].oneOf("passed", "not_run") == "not_run") {
        field["reason"].name()
        return
    }
    field["compared_with"].oneOf("pytorch")
    field["runtime"].name()
    field["views"].integer(8..COUNTS.last)
    for (key in listOf("psnr_min", "psnr_mean", "required_psnr")) field[key].number()
    for (key in listOf("max_abs", "allowed_max_abs")) field[key].number(NOT_NEGATIVE)
}

private fun checkRange(
    field: Field,
    low: Double,
    high: Double,
) = field.check(low <= high) { "has a range from $low to $high" }

/** A direction of length 1. */
private fun unitOf(field: Field): List<Double> {
    val direction = field.numbers(3)
    field.check(abs(Vector(direction).length - 1) <= UNIT_TOLERANCE) { "does not have length 1" }
    return direction
}

/** A rigid pose, row by row. */
private fun poseOf(field: Field): List<Double> {
    val pose = field.numbers(POSE_SIZE)
    val rows = List(3) { Vector(pose.subList(4 * it, 4 * it + 3)) }
    val error = (0..2).maxOf { i -> (0..2).maxOf { j -> abs(rows[i].dot(rows[j]) - if (i == j) 1 else 0) } }
    val righthanded = rows[0].dot(Vector().setCross(rows[1], rows[2])) > 0
    field.check(error < RIGID_TOLERANCE && righthanded) { "is not a rigid pose" }
    return pose
}
