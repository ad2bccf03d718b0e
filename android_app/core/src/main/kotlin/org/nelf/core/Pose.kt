package org.nelf.core

/** Numbers of a pose: c2w, 3 rows of 4. */
const val POSE_SIZE = 12

/** Writes the pose with axes [right], [up], [back] and centre [eye] into [c2w], row by row. */
internal fun setPose(
    c2w: DoubleArray,
    right: Vector,
    up: Vector,
    back: Vector,
    eye: Vector,
) {
    setColumn(c2w, 0, right)
    setColumn(c2w, 1, up)
    setColumn(c2w, 2, back)
    setColumn(c2w, 3, eye)
}

private fun setColumn(
    c2w: DoubleArray,
    column: Int,
    values: Vector,
) {
    c2w[column] = values.x
    c2w[column + 4] = values.y
    c2w[column + 8] = values.z
}

/** The vector in [column] of a pose given row by row: 0 right, 1 up, 2 back, 3 eye. */
internal fun column(
    c2w: List<Double>,
    column: Int,
) = Vector(c2w[column], c2w[column + 4], c2w[column + 8])
