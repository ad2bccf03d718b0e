package org.nelf.core

import java.io.IOException
import java.nio.FloatBuffer
import kotlin.math.abs
import kotlin.math.log10
import kotlin.math.min

/** A pose and the image that PyTorch gives for it. */
class GoldenView(
    val name: String,
    val c2w: FloatArray,
    val image: Picture,
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

/** PSNR of images that agree exactly, or nearly. */
private const val EXACT = 150.0

/** The golden views of the bundle in [source]. Throws [IOException] when they cannot be read. */
fun readGolden(
    source: BundleSource,
    manifest: Manifest,
): List<GoldenView> {
    val views =
        try {
            val content = Json.parse(readAll(source, manifest.golden).decodeToString()) as? Map<*, *>
            val entries = content?.get("views") as? List<*> ?: throw JsonException("no views")
            entries.map {
                viewOf(
                    source,
                    manifest.image,
                    it as? Map<*, *> ?: throw JsonException("a view is no object"),
                )
            }
        } catch (error: JsonException) {
            throw IOException("${manifest.golden} cannot be read (${error.message}); $EXPORT_AGAIN", error)
        } catch (error: PngException) {
            throw IOException("a golden image cannot be read (${error.message}); $EXPORT_AGAIN", error)
        }
    if (views.isEmpty()) throw IOException("${manifest.golden} lists no views; $EXPORT_AGAIN")
    return views
}

private fun viewOf(
    source: BundleSource,
    image: ImageInfo,
    entry: Map<*, *>,
): GoldenView {
    val name = entry["name"] as? String ?: throw JsonException("a view has no name")
    val path = entry["image"] as? String ?: throw JsonException("view $name has no image")
    val rows = (entry["c2w"] as? List<*>)?.map { row -> (row as? List<*>)?.map { it as? Double } }
    val pose = rows?.flatMap { it.orEmpty() }?.filterNotNull().orEmpty()
    if (pose.size != POSE_SIZE) throw JsonException("view $name has no pose of 3 rows of 4")
    if (!isPlain(path) || !source.holds(path)) throw JsonException("view $name names a file outside of the bundle")
    val picture = Png.decode(readAll(source, path))
    if (picture.width != image.width || picture.height != image.height || picture.channels != image.channels) {
        throw PngException("$path is not ${image.width} x ${image.height} with ${image.channels} channels")
    }
    return GoldenView(name, FloatArray(POSE_SIZE) { pose[it].toFloat() }, picture)
}

private fun readAll(
    source: BundleSource,
    path: String,
): ByteArray = source.open(path)?.use { it.readBytes() } ?: throw IOException("$path is missing; $EXPORT_AGAIN")

/** [image] against [view]'s. A value that is no number counts as the worst possible. */
fun compare(
    image: FloatBuffer,
    view: GoldenView,
): Difference {
    val pixels = view.image.pixels
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
