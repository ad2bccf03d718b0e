package org.nelf.core

import java.nio.FloatBuffer
import kotlin.math.abs
import kotlin.math.log10
import kotlin.math.min

/** A pose, and the image that PyTorch gives for it: rows from the top, channels together, 8 bits each. */
class GoldenView(
    val name: String,
    val c2w: FloatArray,
    val image: ByteArray,
)

/** How far an image is from its golden one: PSNR in dB with peak 1, largest error of a value. */
data class Difference(
    val view: String,
    val psnr: Double,
    val maxError: Double,
) {
    val passed: Boolean get() = psnr >= GOLDEN_PSNR
}

/**
 * What a golden view must reach. Less than the export's own limit, which LiteRT met on a computer's CPU: a phone's GPU
 * computes in half precision. A wrong pose, layout or colour stays far below it.
 */
const val GOLDEN_PSNR = 40.0

/** Of the file of golden poses. */
private const val MOST_BYTES = 4 shl 20

/** PSNR of images that agree exactly, or nearly. */
private const val EXACT = 150.0

/** The golden views of the bundle in [source]. Throws [BundleError] when they cannot be read. */
fun readGolden(
    source: BundleSource,
    manifest: Manifest,
): List<GoldenView> {
    val content =
        try {
            source.read(manifest.golden, MOST_BYTES)?.let(Json::parse)
        } catch (error: JsonException) {
            throw damaged("${manifest.golden} cannot be read (${error.message})")
        }
    val views = (content as? Map<*, *>)?.get("views") as? List<*>
    if (views.isNullOrEmpty()) throw damaged("${manifest.golden} lists no views")
    return views.map { viewOf(source, manifest, it as? Map<*, *> ?: throw damaged("a golden view is not an object")) }
}

private fun viewOf(
    source: BundleSource,
    manifest: Manifest,
    entry: Map<*, *>,
): GoldenView {
    val name = entry["name"] as? String ?: throw damaged("a golden view has no name")
    val path = entry["image"] as? String ?: throw damaged("the golden view $name has no image")
    val rows = (entry["c2w"] as? List<*>).orEmpty().map { (it as? List<*>).orEmpty() }
    val pose = rows.flatten().filterIsInstance<Double>()
    if (rows.map { it.size } != listOf(4, 4, 4) || pose.size != POSE_SIZE) {
        throw damaged("the golden view $name has no pose of 3 rows of 4")
    }
    if (!isPlain(path) || !source.holds(path)) {
        throw BundleError(
            BundleErrorCode.UNSAFE_PATH,
            "the golden image '$path' is or could be outside the bundle; do not use it",
        )
    }
    val file = manifest.files.firstOrNull { it.path == path }
    file ?: throw BundleError(BundleErrorCode.INVALID_MANIFEST, "$MANIFEST_FILE does not list $path; $EXPORT_AGAIN")
    val size = manifest.image.size
    val image = if (file.bytes == size.toLong()) source.read(path, size) else null
    if (image?.size != size) throw damaged("$path does not have $size bytes")
    return GoldenView(name, FloatArray(POSE_SIZE) { pose[it].toFloat() }, image)
}

private fun damaged(what: String) = BundleError(BundleErrorCode.DAMAGED_FILE, "$what; copy or export the bundle again")

/** [image] against [view]'s. A value that is no number counts as the worst possible. */
fun compare(
    image: FloatBuffer,
    view: GoldenView,
): Difference {
    val pixels = view.image
    var squares = 0.0
    var largest = 0.0
    for (index in pixels.indices) {
        val value = image.get(index)
        val error = if (value.isFinite()) abs(value - (pixels[index].toInt() and 255) / 255.0) else 1.0
        squares += error * error
        largest = maxOf(largest, error)
    }
    val mean = squares / pixels.size
    return Difference(view.name, if (mean == 0.0) EXACT else min(EXACT, 10 * log10(1 / mean)), largest)
}

/** Renders every golden view with [model] into [image]. Throws [ModelException]. */
fun checkGolden(
    model: NelfModel,
    views: List<GoldenView>,
    image: FloatBuffer,
): List<Difference> =
    views.map { view ->
        model.render(view.c2w, image)
        compare(image, view)
    }
