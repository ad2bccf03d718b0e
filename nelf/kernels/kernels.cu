// One source for CUDA (compiled by NVRTC), Metal (torch.mps.compile_shader) and g++ (tests on the CPU).
// Every argument is an array: what differs from call to call lies on the device (`count`). What a model fixes is a
// macro, and each part below is there only where its macros are. Positions, weights and sums are float.
#if defined(__METAL_VERSION__)
#include <metal_stdlib>
using namespace metal;
#define KERNEL(name, ...) kernel void name(__VA_ARGS__, uint me [[thread_position_in_grid]])
#define FN inline
#define IN(type) device const type*
#define OUT(type) device type*
#define OWN(type) thread type&
#define SUM device atomic_float*
#define ADD(place, value) atomic_fetch_add_explicit(place, value, memory_order_relaxed)
typedef ulong u64;
#elif defined(__CUDACC__)
#define KERNEL(name, ...) extern "C" __global__ void name(__VA_ARGS__)
#define me (blockIdx.x * blockDim.x + threadIdx.x)
#define FN static __device__ __forceinline__
#define IN(type) const type* __restrict__
#define OUT(type) type* __restrict__
#define OWN(type) type&
#define SUM float*
#define ADD(place, value) atomicAdd(place, value)
typedef unsigned long long u64;
#else
#include <algorithm>
#include <cmath>
using std::exp, std::fabs, std::max, std::min, std::sqrt;
struct alignas(16) float4 { float x, y, z, w; };
static thread_local unsigned me;
#define KERNEL(name, ...) extern "C" void name(__VA_ARGS__)
#define FN static inline
#define IN(type) const type*
#define OUT(type) type*
#define OWN(type) type&
#define SUM float*
#define ADD(place, value) (*(place) += (value))
typedef unsigned long long u64;
#endif
typedef unsigned int u32;
// SIZES (the macros are put in here)

#if defined(RANDOM)
// --- Random numbers: nelf/kernels/random_numbers.py. what: draw, first, step, width, count, below.
FN u32 hashed(u32 x) {
    u32 state = x * 747796405u + 2891336453u;
    u32 word = ((state >> ((state >> 28) + 4u)) ^ state) * 277803737u;
    return (word >> 22) ^ word;
}

FN u32 bits_of(u32 i, IN(int) key, IN(int) what) {
    u32 width = u32(what[3]), place = (i / width * u32(what[2]) + u32(what[1])) * width + i % width;
    return hashed(hashed(hashed(u32(key[0])) + u32(what[0])) + place);
}

KERNEL(draw_uniform, IN(int) key, IN(int) what, OUT(float) out) {
    if (me >= u32(what[4])) return;
    out[me] = float(bits_of(me, key, what) >> 8) * (1.0f / 16777216.0f);
}

KERNEL(draw_integers, IN(int) key, IN(int) what, OUT(int) out) {
    if (me >= u32(what[4])) return;
    out[me] = int(u64(bits_of(me, key, what)) * u64(what[5]) >> 32);
}
#endif

#if defined(LEVELS)
// --- Hash grid (Müller et al. 2022). One thread a point and level; table [LEVELS, ENTRIES] of 4 features.
struct Cell { u32 x, y, z; float fx, fy, fz; };

FN Cell cell_of(float x, float y, float z, int resolution) {
    float r = float(resolution);
    int cx = min(max(int(x * r), 0), resolution - 1);
    int cy = min(max(int(y * r), 0), resolution - 1);
    int cz = min(max(int(z * r), 0), resolution - 1);
    Cell cell = {u32(cx), u32(cy), u32(cz), x * r - float(cx), y * r - float(cy), z * r - float(cz)};
    return cell;
}

FN u32 entry(Cell c, u32 corner, u32 level, u32 resolution) {  // 32 bits: the low bits are those of the 64-bit product
    u32 x = c.x + (corner & 1u), y = c.y + (corner >> 1 & 1u), z = c.z + (corner >> 2), side = resolution + 1u;
    u32 hash = (x ^ (y * 2654435761u) ^ (z * 805459861u)) & (ENTRIES - 1u);
    return level * ENTRIES + (int(level) < DENSE ? x + side * (y + side * z) : hash);
}

FN float weight_of(Cell c, u32 corner) {
    return (corner & 1u ? c.fx : 1.0f - c.fx) * (corner >> 1 & 1u ? c.fy : 1.0f - c.fy) * (corner >> 2 ? c.fz : 1.0f - c.fz);
}

KERNEL(hash_encode, IN(float) points, IN(float4) table, IN(int) resolutions, IN(int) count, OUT(float4) out) {
    u32 i = me / LEVELS, level = me % LEVELS;
    if (i >= u32(count[0])) return;
    Cell c = cell_of(points[i * 3u], points[i * 3u + 1u], points[i * 3u + 2u], resolutions[level]);
    float a = 0.0f, b = 0.0f, d = 0.0f, e = 0.0f;
    for (u32 corner = 0u; corner < 8u; ++corner) {
        float w = weight_of(c, corner);
        float4 f = table[entry(c, corner, level, u32(resolutions[level]))];
        a += w * f.x; b += w * f.y; d += w * f.z; e += w * f.w;
    }
    float4 sum = {a, b, d, e};
    out[me] = sum;
}

KERNEL(hash_table_grad, IN(float) points, IN(float4) grad, IN(int) resolutions, IN(int) count, SUM table_grad) {
    u32 i = me / LEVELS, level = me % LEVELS;
    if (i >= u32(count[0])) return;
    Cell c = cell_of(points[i * 3u], points[i * 3u + 1u], points[i * 3u + 2u], resolutions[level]);
    float4 g = grad[me];
    for (u32 corner = 0u; corner < 8u; ++corner) {
        float w = weight_of(c, corner);
        u32 at = 4u * entry(c, corner, level, u32(resolutions[level]));
        ADD(table_grad + at, w * g.x); ADD(table_grad + at + 1u, w * g.y);
        ADD(table_grad + at + 2u, w * g.z); ADD(table_grad + at + 3u, w * g.w);
    }
}
#endif

#if defined(SIDE)
// --- Three planes of features: table [3, SIDE * SIDE, CHANNELS]; points [n, 3] in 0..SIDE-1, held at the border.
struct Tap { u32 at; float fa, fb; bool a_moves, b_moves; };

FN Tap tap_of(u32 plane, float x, float y, float z) {
    float a0 = plane < 2u ? x : y, b0 = plane == 0u ? y : z, last = float(SIDE - 1);
    float a = min(max(a0, 0.0f), last), b = min(max(b0, 0.0f), last);
    u32 ia = min(u32(a), u32(SIDE - 2)), ib = min(u32(b), u32(SIDE - 2));
    Tap tap = {plane * SIDE * SIDE + ib * SIDE + ia, a - float(ia), b - float(ib), a == a0, b == b0};
    return tap;
}

// One thread a point, plane and channel: the channels of a tap are read by neighbouring threads.
KERNEL(planes_read, IN(float) points, IN(float) table, IN(int) count, OUT(float) out) {
    u32 i = me / (3u * CHANNELS), plane = me / CHANNELS % 3u, c = me % CHANNELS;
    if (i >= u32(count[0])) return;
    Tap t = tap_of(plane, points[i * 3u], points[i * 3u + 1u], points[i * 3u + 2u]);
    u32 at = t.at * CHANNELS + c, row = SIDE * CHANNELS;
    float low = table[at] + t.fa * (table[at + CHANNELS] - table[at]);
    float high = table[at + row] + t.fa * (table[at + row + CHANNELS] - table[at + row]);
    out[me] = low + t.fb * (high - low);
}

KERNEL(planes_table_grad, IN(float) points, IN(float) table, IN(float) grad, IN(int) count, SUM table_grad) {
    (void)table;
    u32 i = me / (3u * CHANNELS), plane = me / CHANNELS % 3u, c = me % CHANNELS;
    if (i >= u32(count[0])) return;
    Tap t = tap_of(plane, points[i * 3u], points[i * 3u + 1u], points[i * 3u + 2u]);
    u32 at = t.at * CHANNELS + c, row = SIDE * CHANNELS;
    float g = grad[me];
    ADD(table_grad + at, (1.0f - t.fa) * (1.0f - t.fb) * g);
    ADD(table_grad + at + CHANNELS, t.fa * (1.0f - t.fb) * g);
    ADD(table_grad + at + row, (1.0f - t.fa) * t.fb * g);
    ADD(table_grad + at + row + CHANNELS, t.fa * t.fb * g);
}

KERNEL(planes_point_grad, IN(float) points, IN(float) table, IN(float) grad, IN(int) count, OUT(float) point_grad) {
    u32 i = me;  // one thread a point: no atomics
    if (i >= u32(count[0])) return;
    float gx = 0.0f, gy = 0.0f, gz = 0.0f;
    for (u32 plane = 0u; plane < 3u; ++plane) {
        Tap t = tap_of(plane, points[i * 3u], points[i * 3u + 1u], points[i * 3u + 2u]);
        u32 at = t.at * CHANNELS, row = SIDE * CHANNELS;
        float da = 0.0f, db = 0.0f;
        for (u32 c = 0u; c < CHANNELS; ++c, ++at) {
            float g = grad[(i * 3u + plane) * CHANNELS + c];
            float v00 = table[at], v10 = table[at + CHANNELS], v01 = table[at + row], v11 = table[at + row + CHANNELS];
            da += g * ((1.0f - t.fb) * (v10 - v00) + t.fb * (v11 - v01));
            db += g * ((1.0f - t.fa) * (v01 - v00) + t.fa * (v11 - v10));
        }
        da = t.a_moves ? da : 0.0f;
        db = t.b_moves ? db : 0.0f;
        if (plane < 2u) gx += da; else gy += da;
        if (plane == 0u) gy += db; else gz += db;
    }
    point_grad[i * 3u] = gx; point_grad[i * 3u + 1u] = gy; point_grad[i * 3u + 2u] = gz;
}
#endif

#if defined(VOLUME)
// --- A volume of features: table [VOLUME, VOLUME, VOLUME, CHANNELS], axes z, y, x; points [n, 3] in 0..VOLUME-1.
struct Corner { u32 at; float fx, fy, fz; bool x_moves, y_moves, z_moves; };

FN Corner corner_of(float x0, float y0, float z0) {
    float last = float(VOLUME - 1);
    float x = min(max(x0, 0.0f), last), y = min(max(y0, 0.0f), last), z = min(max(z0, 0.0f), last);
    u32 ix = min(u32(x), u32(VOLUME - 2)), iy = min(u32(y), u32(VOLUME - 2)), iz = min(u32(z), u32(VOLUME - 2));
    Corner corner = {(iz * VOLUME + iy) * VOLUME + ix, x - float(ix), y - float(iy), z - float(iz),
                     x == x0, y == y0, z == z0};
    return corner;
}

// The eight corners: bit 0 of a number is the step along x, bit 1 along y, bit 2 along z.
FN u32 corner_at(Corner t, u32 number) {
    return (t.at + (number & 1u) + (number >> 1 & 1u) * VOLUME + (number >> 2) * VOLUME * VOLUME) * CHANNELS;
}

FN float share_of(u32 step, float f) { return step != 0u ? f : 1.0f - f; }

KERNEL(volume_read, IN(float) points, IN(float) table, IN(int) count, OUT(float) out) {
    u32 i = me / CHANNELS, c = me % CHANNELS;
    if (i >= u32(count[0])) return;
    Corner t = corner_of(points[i * 3u], points[i * 3u + 1u], points[i * 3u + 2u]);
    float total = 0.0f;
    for (u32 k = 0u; k < 8u; ++k)
        total += share_of(k & 1u, t.fx) * share_of(k >> 1 & 1u, t.fy) * share_of(k >> 2, t.fz) * table[corner_at(t, k) + c];
    out[me] = total;
}

KERNEL(volume_table_grad, IN(float) points, IN(float) table, IN(float) grad, IN(int) count, SUM table_grad) {
    (void)table;
    u32 i = me / CHANNELS, c = me % CHANNELS;
    if (i >= u32(count[0])) return;
    Corner t = corner_of(points[i * 3u], points[i * 3u + 1u], points[i * 3u + 2u]);
    float g = grad[me];
    for (u32 k = 0u; k < 8u; ++k)
        ADD(table_grad + corner_at(t, k) + c,
            share_of(k & 1u, t.fx) * share_of(k >> 1 & 1u, t.fy) * share_of(k >> 2, t.fz) * g);
}

KERNEL(volume_point_grad, IN(float) points, IN(float) table, IN(float) grad, IN(int) count, OUT(float) point_grad) {
    u32 i = me;  // one thread a point: no atomics
    if (i >= u32(count[0])) return;
    Corner t = corner_of(points[i * 3u], points[i * 3u + 1u], points[i * 3u + 2u]);
    float gx = 0.0f, gy = 0.0f, gz = 0.0f;
    for (u32 k = 0u; k < 8u; ++k) {
        float wx = share_of(k & 1u, t.fx), wy = share_of(k >> 1 & 1u, t.fy), wz = share_of(k >> 2, t.fz), value = 0.0f;
        for (u32 c = 0u; c < CHANNELS; ++c) value += grad[i * CHANNELS + c] * table[corner_at(t, k) + c];
        gx += ((k & 1u) != 0u ? value : -value) * wy * wz;
        gy += ((k >> 1 & 1u) != 0u ? value : -value) * wx * wz;
        gz += ((k >> 2) != 0u ? value : -value) * wx * wy;
    }
    point_grad[i * 3u] = t.x_moves ? gx : 0.0f;
    point_grad[i * 3u + 1u] = t.y_moves ? gy : 0.0f;
    point_grad[i * 3u + 2u] = t.z_moves ? gz : 0.0f;
}
#endif

#if defined(NODES)
// --- Products of three piecewise linear functions: table [3, NODES, CHANNELS]; points [n, 3] in 0..NODES-1.
struct Along { u32 at; float f; bool moves; };

FN Along along_of(u32 axis, float v) {
    float held = min(max(v, 0.0f), float(NODES - 1));
    u32 node = min(u32(held), u32(NODES - 2));
    Along along = {(axis * NODES + node) * CHANNELS, held - float(node), held == v};
    return along;
}

FN float value_of(Along a, u32 c, IN(float) table) {
    return table[a.at + c] + a.f * (table[a.at + CHANNELS + c] - table[a.at + c]);
}

KERNEL(lines_read, IN(float) points, IN(float) table, IN(int) count, OUT(float) out) {
    u32 i = me / CHANNELS, c = me % CHANNELS;
    if (i >= u32(count[0])) return;
    Along x = along_of(0u, points[i * 3u]), y = along_of(1u, points[i * 3u + 1u]), z = along_of(2u, points[i * 3u + 2u]);
    out[me] = value_of(x, c, table) * value_of(y, c, table) * value_of(z, c, table);
}

KERNEL(lines_table_grad, IN(float) points, IN(float) table, IN(float) grad, IN(int) count, SUM table_grad) {
    u32 i = me / CHANNELS, c = me % CHANNELS;
    if (i >= u32(count[0])) return;
    Along x = along_of(0u, points[i * 3u]), y = along_of(1u, points[i * 3u + 1u]), z = along_of(2u, points[i * 3u + 2u]);
    float vx = value_of(x, c, table), vy = value_of(y, c, table), vz = value_of(z, c, table), g = grad[me];
    ADD(table_grad + x.at + c, (1.0f - x.f) * g * vy * vz); ADD(table_grad + x.at + CHANNELS + c, x.f * g * vy * vz);
    ADD(table_grad + y.at + c, (1.0f - y.f) * g * vx * vz); ADD(table_grad + y.at + CHANNELS + c, y.f * g * vx * vz);
    ADD(table_grad + z.at + c, (1.0f - z.f) * g * vx * vy); ADD(table_grad + z.at + CHANNELS + c, z.f * g * vx * vy);
}

KERNEL(lines_point_grad, IN(float) points, IN(float) table, IN(float) grad, IN(int) count, OUT(float) point_grad) {
    u32 i = me;
    if (i >= u32(count[0])) return;
    Along x = along_of(0u, points[i * 3u]), y = along_of(1u, points[i * 3u + 1u]), z = along_of(2u, points[i * 3u + 2u]);
    float gx = 0.0f, gy = 0.0f, gz = 0.0f;
    for (u32 c = 0u; c < CHANNELS; ++c) {
        float vx = value_of(x, c, table), vy = value_of(y, c, table), vz = value_of(z, c, table), g = grad[i * CHANNELS + c];
        gx += g * vy * vz * (table[x.at + CHANNELS + c] - table[x.at + c]);
        gy += g * vx * vz * (table[y.at + CHANNELS + c] - table[y.at + c]);
        gz += g * vx * vy * (table[z.at + CHANNELS + c] - table[z.at + c]);
    }
    point_grad[i * 3u] = x.moves ? gx : 0.0f;
    point_grad[i * 3u + 1u] = y.moves ? gy : 0.0f;
    point_grad[i * 3u + 2u] = z.moves ? gz : 0.0f;
}
#endif

#if defined(VALUES)
// --- Volume rendering of packed samples. One thread a ray; count: of rays. out [rays, VALUES + 1], the last is alpha.
KERNEL(composite, IN(float) optical, IN(float) values, IN(int) offsets, IN(int) count, OUT(float) out) {
    u32 ray = me;
    if (ray >= u32(count[0])) return;
    float through = 1.0f, alpha = 0.0f, sum[VALUES];
    for (u32 c = 0u; c < VALUES; ++c) sum[c] = 0.0f;
    for (int i = offsets[ray]; i < offsets[ray + 1u]; ++i) {
        float left = exp(-optical[i]), w = through * (1.0f - left);
        for (u32 c = 0u; c < VALUES; ++c) sum[c] += w * values[u32(i) * VALUES + c];
        alpha += w;
        through *= left;
    }
    for (u32 c = 0u; c < VALUES; ++c) out[ray * (VALUES + 1u) + c] = sum[c];
    out[ray * (VALUES + 1u) + VALUES] = alpha;
}

// d out / d optical_i = T_{i+1} v_i - (what lies behind i). `behind`: that, dotted with the gradient.
KERNEL(composite_grad, IN(float) optical, IN(float) values, IN(int) offsets, IN(float) out, IN(float) grad,
       IN(int) count, OUT(float) optical_grad, OUT(float) values_grad) {
    u32 ray = me;
    if (ray >= u32(count[0])) return;
    float behind = 0.0f, through = 1.0f;
    for (u32 c = 0u; c <= VALUES; ++c) behind += grad[ray * (VALUES + 1u) + c] * out[ray * (VALUES + 1u) + c];
    for (int i = offsets[ray]; i < offsets[ray + 1u]; ++i) {
        float left = exp(-optical[i]), w = through * (1.0f - left), along = grad[ray * (VALUES + 1u) + VALUES];
        for (u32 c = 0u; c < VALUES; ++c) {
            float g = grad[ray * (VALUES + 1u) + c];
            along += g * values[u32(i) * VALUES + c];
            values_grad[u32(i) * VALUES + c] = g * w;
        }
        behind -= w * along;
        through *= left;
        optical_grad[i] = through * along - behind;
    }
}
#endif

// --- Where half of the light is left. One thread a ray; count: of rays.
KERNEL(median_depths, IN(float) optical, IN(float) depths, IN(int) offsets, IN(int) count, OUT(float) found) {
    u32 ray = me;
    if (ray >= u32(count[0])) return;
    const float half_gone = 0.69314718f;
    float passed = 0.0f, depth = 0.0f;
    for (int i = offsets[ray]; i < offsets[ray + 1u] && passed <= half_gone; ++i) {
        float before = passed;
        passed += optical[i];
        if (passed > half_gone)
            depth = depths[i * 2] + (half_gone - before) / optical[i] * (depths[i * 2 + 1] - depths[i * 2]);
    }
    found[ray] = depth;
}

#if defined(SHAPE)
// --- Where along each ray the field is asked. space: Space.packed, the parameters and near and far.
struct Place { float t, x, y, z; };

FN Place place_of(float s, IN(float) o, IN(float) d, IN(float) p) {  // s: ray parameter in [0, 1]
    float near = p[18], far = p[19], t;
    if (SHAPE == 0) t = near + s * (far - near);
    else if (SHAPE == 2) t = 1.0f / (1.0f / near + s * (1.0f / far - 1.0f / near));
    else t = s < 0.5f ? near + 2.0f * s * (p[4] - near) : 1.0f / (1.0f / p[4] + (2.0f * s - 1.0f) * (1.0f / far - 1.0f / p[4]));
    float x = o[0] + t * d[0], y = o[1] + t * d[1], z = o[2] + t * d[2];
    if (SHAPE == 2) {
        x -= p[9]; y -= p[13]; z -= p[17];
        float lx = x * p[6] + y * p[10] + z * p[14], ly = x * p[7] + y * p[11] + z * p[15];
        float depth = max(-(x * p[8] + y * p[12] + z * p[16]), 1e-6f);
        Place seen = {t, lx / (depth * p[3]) * 0.5f + 0.5f, ly / (depth * p[3]) * 0.5f + 0.5f, p[5] / depth};
        return seen;
    }
    x = (x - p[0]) / p[3]; y = (y - p[1]) / p[3]; z = (z - p[2]) / p[3];
    float norm = max(fabs(x), max(fabs(y), fabs(z)));
    float scale = SHAPE == 0 ? 0.5f : (norm > 1.0f ? (2.0f - 1.0f / norm) / norm : 1.0f) * 0.25f;
    Place place = {t, x * scale + 0.5f, y * scale + 0.5f, z * scale + 0.5f};
    return place;
}

FN float distance_of(Place a, Place b) {  // in cube units times 2
    float x = b.x - a.x, y = b.y - a.y, z = b.z - a.z;
    return 2.0f * sqrt(x * x + y * y + z * z);
}

FN bool inside_of(float x, float y, float z) {
    return x >= 0.0f && y >= 0.0f && z >= 0.0f && x < 1.0f && y < 1.0f && z < 1.0f;
}
#if defined(CELLS)
FN float cached_of(float x, float y, float z, IN(float) density) {
    return density[(int(x * float(CELLS)) * CELLS + int(y * float(CELLS))) * CELLS + int(z * float(CELLS))];
}

// The intervals of a ray, one after the other: nelf/kernels/ray_marching.py.
struct Walk { int step, last; float shift, optical; Place end; };
struct Interval { float x, y, z, length, near, far; };

FN Place end_of(int step, float shift, IN(float) o, IN(float) d, IN(float) p) {
    return place_of(min(max((float(step) + shift) / float(STEPS), 0.0f), 1.0f), o, d, p);
}

FN Walk begin_walk(IN(float) o, IN(float) d, float jitter, IN(float) p) {
    Walk walk = {0, STEPS, jitter - 0.5f, 0.0f, {0.0f, 0.0f, 0.0f, 0.0f}};
    if (SHAPE == 0) {  // only what lies in the box
        float enter = p[18], leave = p[19], scale = float(STEPS) / (p[19] - p[18]);
        for (int axis = 0; axis < 3; ++axis) {
            float low = p[axis] - p[3], high = p[axis] + p[3];
            if (fabs(d[axis]) < 1e-9f) {
                if (o[axis] < low || o[axis] > high) leave = enter - 1.0f;
                continue;
            }
            float a = (low - o[axis]) / d[axis], b = (high - o[axis]) / d[axis];
            enter = max(enter, min(a, b));
            leave = min(leave, max(a, b));
        }
        walk.step = max(int((enter - p[18]) * scale - walk.shift) - 1, 0);
        walk.last = leave < enter ? walk.step : min(int((leave - p[18]) * scale - walk.shift) + 2, STEPS);
    }
    walk.end = end_of(walk.step, walk.shift, o, d, p);
    return walk;
}

FN bool next_interval(OWN(Walk) walk, OWN(Interval) found, IN(float) o, IN(float) d, IN(float) p, IN(float) density,
             IN(float) coarse, float threshold) {
    const int rough = (CELLS + 3) / 4;
    while (walk.step < walk.last && walk.optical < 9.21034037f) {  // -log(OPAQUE)
        Place a = walk.end, b = end_of(++walk.step, walk.shift, o, d, p);
        walk.end = b;
        float x = (a.x + b.x) * 0.5f, y = (a.y + b.y) * 0.5f, z = (a.z + b.z) * 0.5f;
        if (!inside_of(x, y, z)) continue;
        int cx = int(x * float(CELLS)) / 4, cy = int(y * float(CELLS)) / 4, cz = int(z * float(CELLS)) / 4;
        if (coarse[(cx * rough + cy) * rough + cz] <= threshold) continue;
        float cached = cached_of(x, y, z, density), length = distance_of(a, b);
        if (cached <= threshold || length <= 0.0f) continue;
        walk.optical += min(cached * length, 1.0f);
        Interval interval = {x, y, z, length, a.t, b.t};
        found = interval;
        return true;
    }
    return false;
}

KERNEL(march_count, IN(float) origins, IN(float) directions, IN(float) jitter, IN(float) space, IN(float) density,
       IN(float) coarse, IN(float) threshold, IN(int) count, OUT(int) found) {
    if (me >= u32(count[0])) return;
    IN(float) o = origins + me * 3u;
    IN(float) d = directions + me * 3u;
    Walk walk = begin_walk(o, d, jitter[me], space);
    Interval interval = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
    int number = 0;
    while (next_interval(walk, interval, o, d, space, density, coarse, threshold[0])) ++number;
    found[me] = number;
}

// The same again, written out. What lies beyond the last offset has no room.
KERNEL(march_emit, IN(float) origins, IN(float) directions, IN(float) jitter, IN(float) space, IN(float) density,
       IN(float) coarse, IN(float) threshold, IN(int) count, IN(int) offsets, OUT(float) points, OUT(float) lengths,
       OUT(float) depths, OUT(int) ray) {
    if (me >= u32(count[0])) return;
    IN(float) o = origins + me * 3u;
    IN(float) d = directions + me * 3u;
    Walk walk = begin_walk(o, d, jitter[me], space);
    Interval i = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
    for (int row = offsets[me]; row < offsets[me + 1u]; ++row) {
        if (!next_interval(walk, i, o, d, space, density, coarse, threshold[0])) return;
        points[row * 3] = i.x; points[row * 3 + 1] = i.y; points[row * 3 + 2] = i.z;
        lengths[row] = i.length; depths[row * 2] = i.near; depths[row * 2 + 1] = i.far; ray[row] = int(me);
    }
}
#endif

#if defined(SAMPLES)
// Edges of SAMPLES intervals, most where the ray most likely ends: nelf/kernels/importance_sampling.py. kept: 0 for rays that miss.
KERNEL(importance_edges, IN(float) origins, IN(float) directions, IN(float) jitter, IN(float) space, IN(float) density,
       IN(int) count, OUT(int) kept, OUT(float) edges) {
    if (me >= u32(count[0])) return;
    IN(float) o = origins + me * 3u;
    IN(float) d = directions + me * 3u;
    float weights[STEPS], mass[STEPS], through = 1.0f;  // a weight below 0: the interval lies outside of the cube
    int inside = 0, last = 0;
    Place b = place_of(0.0f, o, d, space);
    for (int step = 0; step < STEPS; ++step) {
        Place a = b;
        b = place_of(float(step + 1) / float(STEPS), o, d, space);
        float x = (a.x + b.x) * 0.5f, y = (a.y + b.y) * 0.5f, z = (a.z + b.z) * 0.5f;
        weights[step] = -1.0f;
        if (!inside_of(x, y, z)) continue;
        ++inside;
        last = step;
        weights[step] = 0.0f;
        if (through < 1e-6f) continue;
        float passed = exp(-cached_of(x, y, z, density) * distance_of(a, b));
        weights[step] = through * (1.0f - passed);
        through *= passed;
    }
    kept[me] = inside > 0 ? 1 : 0;
    float total = 0.0f, whole = 0.0f;
    for (int step = 0; step < STEPS; ++step) {  // an interval next to a likely one is as likely
        float before = weights[max(step - 1, 0)], after = weights[min(step + 1, STEPS - 1)];
        mass[step] = weights[step] < 0.0f ? 0.0f : max(before, max(weights[step], after));
        total += mass[step];
    }
    float likely = total > 0.0f ? 0.9f / total : 0.0f;  // 1 - UNIFORM
    for (int step = 0; step < STEPS; ++step) {
        if (weights[step] >= 0.0f) mass[step] = mass[step] * likely + 0.1f / float(inside);
        whole += mass[step];
    }
    int step = 0;  // the strata and the cumulative mass, side by side
    float below = 0.0f;
    for (int edge = 0; edge <= SAMPLES; ++edge) {
        float wanted = edge == 0 ? 0.0f : (float(edge) - 0.5f + jitter[me]) / float(SAMPLES) * whole;
        if (edge == SAMPLES) wanted = whole;
        while (step < last && below + mass[step] <= wanted) below += mass[step++];
        float part = mass[step] > 0.0f ? (wanted - below) / mass[step] : 0.0f;
        edges[me * (SAMPLES + 1u) + u32(edge)] = (float(step) + min(max(part, 0.0f), 1.0f)) / float(STEPS);
    }
}

KERNEL(importance_emit, IN(float) origins, IN(float) directions, IN(float) space, IN(float) edges, IN(int) count,
       IN(int) offsets, OUT(float) points, OUT(float) lengths, OUT(float) depths, OUT(int) ray) {
    if (me >= u32(count[0])) return;
    IN(float) o = origins + me * 3u;
    IN(float) d = directions + me * 3u;
    IN(float) edge = edges + me * (SAMPLES + 1u);
    Place b = place_of(edge[0], o, d, space);
    for (int row = offsets[me]; row < offsets[me + 1u]; ++row) {
        Place a = b;
        b = place_of(*++edge, o, d, space);
        points[row * 3] = (a.x + b.x) * 0.5f; points[row * 3 + 1] = (a.y + b.y) * 0.5f;
        points[row * 3 + 2] = (a.z + b.z) * 0.5f;
        lengths[row] = distance_of(a, b); depths[row * 2] = a.t; depths[row * 2 + 1] = b.t; ray[row] = int(me);
    }
}
#endif
#endif
