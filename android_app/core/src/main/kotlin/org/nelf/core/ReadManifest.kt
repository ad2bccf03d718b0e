package org.nelf.core

import java.io.InputStream
import java.nio.ByteBuffer
import java.nio.charset.CharacterCodingException
import java.nio.charset.CodingErrorAction

const val MANIFEST_FILE = "manifest.json"
private const val FORMAT = "nelf-bundle"
private const val MAJOR = "1"
private const val MOST_BYTES = 4 shl 20
private const val LARGEST_SIDE = 8192L
private const val LARGEST_FILE = (1L shl 53) - 1 // every JSON reader holds it exactly
private val VERSION = Regex("1\\.[0-9]+")
private val SHA256 = Regex("[0-9a-f]{64}")

/**
 * The manifest in [source], checked by itself: [checkFiles] looks at the files. Throws [BundleError] with the first
 * reason to refuse it. Keys that a later minor version added are ignored.
 */
fun readManifest(source: BundleSource): Manifest {
    val stream = source.open(MANIFEST_FILE)
    stream ?: throw BundleError(
        BundleErrorCode.MANIFEST_MISSING,
        "no $MANIFEST_FILE, so this is no bundle; give what nelf export wrote",
    )
    return parseManifest(stream.use(::readBytes))
}

/** The manifest that [bytes] are. */
fun parseManifest(bytes: ByteArray): Manifest {
    if (bytes.size > MOST_BYTES) {
        throw BundleError(
            BundleErrorCode.MANIFEST_TOO_LARGE,
            "$MANIFEST_FILE has more than $MOST_BYTES bytes; give a bundle that nelf export wrote",
        )
    }
    val content =
        try {
            Json.parse(utf8(bytes))
        } catch (error: JsonException) {
            throw unreadable(error)
        } catch (error: CharacterCodingException) {
            throw unreadable(error)
        }
    val fields = JsonFields(content as? Map<*, *> ?: throw notABundle(), "")
    if (content["format"] != FORMAT) throw notABundle()
    checkVersion(content["version"])
    return manifestOf(fields).also(::checkCoherence)
}

/** One byte more than is allowed is enough to know that there are too many. */
private fun readBytes(stream: InputStream): ByteArray {
    val bytes = ByteArray(MOST_BYTES + 1)
    var filled = 0
    while (filled < bytes.size) {
        val count = stream.read(bytes, filled, bytes.size - filled)
        if (count < 0) break
        filled += count
    }
    return bytes.copyOf(filled)
}

private fun utf8(bytes: ByteArray): String =
    Charsets.UTF_8
        .newDecoder()
        .onMalformedInput(CodingErrorAction.REPORT)
        .onUnmappableCharacter(CodingErrorAction.REPORT)
        .decode(ByteBuffer.wrap(bytes))
        .toString()

private fun unreadable(error: Exception) =
    BundleError(BundleErrorCode.MANIFEST_UNREADABLE, "$MANIFEST_FILE cannot be read (${error.message}); $EXPORT_AGAIN")

private fun notABundle() =
    BundleError(BundleErrorCode.NOT_A_BUNDLE, "$MANIFEST_FILE is not that of a $FORMAT; give what nelf export wrote")

/** Before all else, which another major version would have its own rules for. */
private fun checkVersion(version: Any?) {
    if (version is String && version.substringBefore('.') != MAJOR) {
        throw BundleError(
            BundleErrorCode.VERSION_UNKNOWN,
            "the bundle has format version $version, this app reads $MAJOR.x; update the app, or $EXPORT_AGAIN",
        )
    }
}

private fun manifestOf(fields: JsonFields): Manifest {
    val version = fields.string("version")
    if (!VERSION.matches(version)) fields.refuse("version", "is $version, not of the form 1.0")
    fields.texts("deployment")
    fields.fields("provenance").texts("versions")
    return Manifest(
        version = version,
        name = fields.text("name"),
        kind = fields.oneOf("kind", "object", "forward-facing", "unbounded"),
        target = fields.text("target"),
        precision = fields.text("precision"),
        image = imageOf(fields.fields("image")),
        camera = cameraOf(fields.fields("camera")),
        region = regionOf(fields.fields("region")),
        model = modelOf(fields.fields("model")),
        files = fields.objects("files").map(::fileOf).ifEmpty { fields.refuse("files", "is empty") },
        golden = fields.text("golden"),
        parity = parityOf(fields.fields("parity")),
        student = studentOf(fields.fields("student")),
    )
}

private fun imageOf(fields: JsonFields) =
    ImageInfo(
        width = fields.integer("width", 1, LARGEST_SIDE).toInt(),
        height = fields.integer("height", 1, LARGEST_SIDE).toInt(),
        channels = fields.integer("channels", 3, 4).toInt(),
        alpha = fields.oneOf("alpha", "premultiplied", "none"),
        background = fields.numbers("background", 3, 0.0, 1.0),
    )

private fun cameraOf(fields: JsonFields): CameraInfo {
    fields.oneOf("axes", "opengl")
    return CameraInfo(
        intrinsics = intrinsicsOf(fields),
        near = fields.positive("near"),
        far = fields.positive("far"),
        up = fields.numbers("up", 3),
        focus = fields.numbers("focus", 3),
    )
}

private fun intrinsicsOf(fields: JsonFields): List<Double> {
    val intrinsics = fields.numbers("intrinsics", 4)
    if (intrinsics[0] <= 0 || intrinsics[1] <= 0) fields.refuse("intrinsics", "has a focal length that is not above 0")
    return intrinsics
}

private fun regionOf(fields: JsonFields): Region =
    when (fields.oneOf("type", "shell", "box")) {
        "shell" -> {
            OrbitRegion(
                center = fields.numbers("center", 3),
                up = fields.numbers("up", 3),
                radius = fields.numbers("radius", 2, 0.0),
                elevation = fields.numbers("elevation", 2, -90.0, 90.0),
                azimuthZero = fields.numbers("azimuth_zero", 3),
                azimuthStart = fields.number("azimuth_start"),
                azimuthWidth = fields.number("azimuth_width", 0.0, 360.0),
            )
        }

        else -> {
            BoxRegion(
                reference = fields.numbers("reference", POSE_SIZE),
                low = fields.numbers("low", 3),
                high = fields.numbers("high", 3),
                angle = fields.number("angle", 0.0, 180.0),
                covered = coveredOf(fields),
            )
        }
    }

private fun coveredOf(fields: JsonFields): Covered? {
    if (!fields.has("cameras")) {
        if (fields.has("reach")) fields.number("reach", 0.0)
        if (fields.has("turn")) fields.number("turn", 0.0, 180.0)
        return null
    }
    return Covered(
        cameras = fields.poses("cameras").ifEmpty { fields.refuse("cameras", "is empty") },
        reach = fields.number("reach", 0.0),
        turn = fields.number("turn", 0.0, 180.0),
    )
}

private fun modelOf(fields: JsonFields) =
    ModelInfo(fields.text("path"), tensorOf(fields.fields("input"), "float32"), outputOf(fields))

private fun outputOf(fields: JsonFields) = tensorOf(fields.fields("output"), "float32", "uint8")

private fun tensorOf(
    fields: JsonFields,
    vararg dtypes: String,
) = TensorInfo(
    fields.text("name"),
    fields.shape("shape"),
    fields.oneOf("dtype", *dtypes),
    fields.string("layout"),
)

private fun fileOf(fields: JsonFields): FileInfo {
    val sha256 = fields.string("sha256")
    if (!SHA256.matches(sha256)) fields.refuse("sha256", "is no SHA-256")
    val role = fields.oneOf("role", "model", "golden", "page")
    return FileInfo(fields.text("path"), role, fields.integer("bytes", 0, LARGEST_FILE), sha256)
}

private fun parityOf(fields: JsonFields): Parity {
    val status = fields.oneOf("status", "passed", "not_run")
    if (status == "not_run") {
        fields.text("reason")
        return Parity(status, null, null)
    }
    fields.oneOf("compared_with", "pytorch")
    fields.text("runtime")
    fields.integer("views", 8)
    fields.number("psnr_min")
    fields.number("psnr_mean")
    fields.number("max_abs", 0.0)
    return Parity(status, fields.number("required_psnr"), fields.number("allowed_max_abs", 0.0))
}

private fun studentOf(fields: JsonFields) =
    StudentInfo(fields.text("name"), fields.integer("parameters", 1), fields.integer("macs", 1))
