// Variational refinement of optical flow (Brox et al. 2004), and medians. Reference: streamfx/motion/variational.py.
// Lumas are float32 [2][height][width] in 0..255. Motions and changes of them are float32 [2][2][height][width] in
// pixels, x and y: the first [2] leads from the first luma to the second one, the second [2] back.
#include "pixel.cuh"

enum { SWEEPS = 5, MARGIN = 2 * SWEEPS, SIDE = 32, TILE = SIDE + 2 * MARGIN, THREADS = 1024 };
enum { CELLS = (TILE * TILE + THREADS - 1) / THREADS };  // per thread
enum { X, Y, T, XX, XY, YY, XT, YT, DERIVATIVES };
enum { BLOCK_X = 32, BLOCK_Y = 8, HALO = 2, COLUMNS = BLOCK_X + 2 * HALO, ROWS = BLOCK_Y + 2 * HALO };
constexpr float RELAXATION = 1.8f, SMOOTHNESS = 10.0f, BRIGHTNESS = 2.5f, GRADIENT = 5.0f;
constexpr float EPSILON = 1e-6f, ZETA = 1e-2f;

// Derivatives [2][DERIVATIVES][height][width] of the mean of each image and the other one, moved along `motion`; T is
// the difference of the two. Pixels beyond the border equal the outermost ones.
extern "C" __global__ void __launch_bounds__(BLOCK_X * BLOCK_Y)
    derivatives(const float* __restrict__ lumas, const float* __restrict__ motion, float* __restrict__ out, int height,
                int width) {
    __shared__ float means[ROWS * COLUMNS], changes[ROWS * COLUMNS];
    const int left = blockIdx.x * BLOCK_X - HALO, top = blockIdx.y * BLOCK_Y - HALO, z = blockIdx.z;
    const long long plane = (long long)height * width;
    const float *luma = lumas + z * plane, *other = lumas + (1 - z) * plane, *flow = motion + 2 * z * plane;
    for (int cell = threadIdx.y * BLOCK_X + threadIdx.x; cell < ROWS * COLUMNS; cell += BLOCK_X * BLOCK_Y) {
        const int x = clamped(left + cell % COLUMNS, 0, width - 1), y = clamped(top + cell / COLUMNS, 0, height - 1);
        const int at = y * width + x;
        int column[2], row[2];
        float across[2], down[2];
        find_taps<2>((float)x + flow[at], width, REPLICATE, column, across);
        find_taps<2>((float)y + flow[plane + at], height, REPLICATE, row, down);
        const float moved = sampled<2>(other, width, column, across, row, down);
        means[cell] = 0.5f * (moved + luma[at]);
        changes[cell] = moved - luma[at];
    }
    __syncthreads();
    const int x = left + HALO + (int)threadIdx.x, y = top + HALO + (int)threadIdx.y;
    if (x >= width || y >= height) return;
    const int cell = (threadIdx.y + HALO) * COLUMNS + threadIdx.x + HALO;
    const int west = x > 0 ? -1 : 0, east = x < width - 1 ? 1 : 0;
    const int north = y > 0 ? -COLUMNS : 0, south = y < height - 1 ? COLUMNS : 0;
    const auto slope_x = [&](int at, int from) {  // at the pixel `from` columns to the right
        const int before = x + from > 0 ? -1 : 0, after = x + from < width - 1 ? 1 : 0;
        return 0.5f * (means[at + after] - means[at + before]);
    };
    const auto slope_y = [&](int at, int from) {  // at the pixel `from` rows below
        const int before = y + from > 0 ? -COLUMNS : 0, after = y + from < height - 1 ? COLUMNS : 0;
        return 0.5f * (means[at + after] - means[at + before]);
    };
    out += DERIVATIVES * z * plane + y * width + x;
    out[X * plane] = slope_x(cell, 0);
    out[Y * plane] = slope_y(cell, 0);
    out[T * plane] = changes[cell];
    out[XX * plane] = 0.5f * (slope_x(cell + east, east) - slope_x(cell + west, west));
    out[XY * plane] = 0.5f * (slope_x(cell + south, 0) - slope_x(cell + north, 0));
    out[YY * plane] = 0.5f * (slope_y(cell + south, south ? 1 : 0) - slope_y(cell + north, north ? -1 : 0));
    out[XT * plane] = 0.5f * (changes[cell + east] - changes[cell + west]);
    out[YT * plane] = 0.5f * (changes[cell + south] - changes[cell + north]);
}

// The linear system a11 u + a12 v = b1, a12 u + a22 v = b2 of one pixel
struct System {
    float a11, a12, a22, b1, b2;
};

// The part of the system for brightness and gradient at the change (u, v) of the motion; `d` is one pixel
__device__ __forceinline__ System data_term(const float* d, long long plane, float u, float v) {
    const float x = d[X * plane], y = d[Y * plane], t = d[T * plane];
    const float norm = x * x + y * y + ZETA, error = t + x * u + y * v;
    const float weight = BRIGHTNESS / sqrtf(error * error / norm + EPSILON) / norm;
    System s = {weight * x * x + ZETA, weight * x * y, weight * y * y + ZETA, -weight * t * x, -weight * t * y};
    const float xx = d[XX * plane], xy = d[XY * plane], yy = d[YY * plane], xt = d[XT * plane], yt = d[YT * plane];
    const float norm_x = xx * xx + xy * xy + ZETA, norm_y = yy * yy + xy * xy + ZETA;
    const float error_x = xt + xx * u + xy * v, error_y = yt + xy * u + yy * v;
    const float both = GRADIENT / sqrtf(error_x * error_x / norm_x + error_y * error_y / norm_y + EPSILON);
    const float weight_x = both / norm_x, weight_y = both / norm_y;
    s.a11 += weight_x * xx * xx + weight_y * xy * xy;
    s.a12 += weight_x * xx * xy + weight_y * xy * yy;
    s.a22 += weight_x * xy * xy + weight_y * yy * yy;
    s.b1 -= weight_x * xx * xt + weight_y * xy * yt;
    s.b2 -= weight_x * xy * xt + weight_y * yy * yt;
    return s;
}

// One update of the robust weights at `change`, and SWEEPS sweeps of red-black successive over-relaxation. Writes the
// new change; the last time, the motion with the change. Each half sweep needs the neighbors of a pixel, so a block
// starts from a tile with a margin of MARGIN pixels, and its inner SIDE x SIDE pixels are those of the whole image.
extern "C" __global__ void __launch_bounds__(THREADS)
    refine(const float* __restrict__ terms, const float* __restrict__ motion, const float* __restrict__ change,
           float* __restrict__ out, int height, int width, int is_last) {
    __shared__ float shared_u[TILE * TILE], shared_v[TILE * TILE], weights[TILE * TILE];
    const int left = blockIdx.x * SIDE - MARGIN, top = blockIdx.y * SIDE - MARGIN, z = blockIdx.z;
    const long long plane = (long long)height * width;
    motion += 2 * z * plane;
    change += 2 * z * plane;
    out += 2 * z * plane;
    terms += DERIVATIVES * z * plane;

    System systems[CELLS];
#pragma unroll
    for (int i = 0; i < CELLS; ++i) {
        const int cell = threadIdx.x + i * THREADS, x = left + cell % TILE, y = top + cell / TILE;
        systems[i] = {1.0f, 0.0f, 1.0f, 0.0f, 0.0f};
        if (cell >= TILE * TILE || x < 0 || x >= width || y < 0 || y >= height) continue;
        const int at = y * width + x, east = at + (x < width - 1 ? 1 : 0), south = at + (y < height - 1 ? width : 0);
        float slope = 0.0f;
#pragma unroll
        for (int axis = 0; axis < 2; ++axis) {
            const float *flow = motion + axis * plane, *delta = change + axis * plane;
            const float here = flow[at] + delta[at];
            const float to_east = flow[east] + delta[east] - here, to_south = flow[south] + delta[south] - here;
            slope += to_east * to_east + to_south * to_south;
        }
        weights[cell] = SMOOTHNESS / sqrtf(slope + EPSILON);  // to the east and to the south
        shared_u[cell] = change[at];
        shared_v[cell] = change[plane + at];
        systems[i] = data_term(terms + at, plane, change[at], change[plane + at]);
    }
    __syncthreads();

    const auto inner = [&](int cell) {  // whether the cell is in the image and has its neighbors in the tile
        const int x = cell % TILE, y = cell / TILE;
        const bool in_tile = x > 0 && x < TILE - 1 && y > 0 && y < TILE - 1;
        return in_tile && left + x >= 0 && left + x < width && top + y >= 0 && top + y < height;
    };
    const auto weight = [&](int cell, bool exists) { return exists ? weights[cell] : 0.0f; };

#pragma unroll
    for (int i = 0; i < CELLS; ++i) {
        const int cell = threadIdx.x + i * THREADS, x = left + cell % TILE, y = top + cell / TILE;
        if (!inner(cell)) continue;
        const float west = weight(cell - 1, x > 0), east = weight(cell, x < width - 1);
        const float north = weight(cell - TILE, y > 0), south = weight(cell, y < height - 1);
        const float around = west + east + north + south;
        const int at = y * width + x, to_west = at - (x > 0), to_east = at + (x < width - 1);
        const int to_north = at - (y > 0 ? width : 0), to_south = at + (y < height - 1 ? width : 0);
        const float *u = motion, *v = motion + plane;
        systems[i].a11 += around;
        systems[i].a22 += around;
        systems[i].b1 += west * (u[to_west] - u[at]) + east * (u[to_east] - u[at]) + north * (u[to_north] - u[at]) +
                         south * (u[to_south] - u[at]);
        systems[i].b2 += west * (v[to_west] - v[at]) + east * (v[to_east] - v[at]) + north * (v[to_north] - v[at]) +
                         south * (v[to_south] - v[at]);
    }

#pragma unroll 1
    for (int half = 0; half < 2 * SWEEPS; ++half) {
#pragma unroll
        for (int i = 0; i < CELLS; ++i) {
            const int cell = threadIdx.x + i * THREADS, x = left + cell % TILE, y = top + cell / TILE;
            if (!inner(cell) || (x + y) % 2 != half % 2) continue;
            const float west = weight(cell - 1, x > 0), east = weight(cell, x < width - 1);
            const float north = weight(cell - TILE, y > 0), south = weight(cell, y < height - 1);
            const auto around = [&](const float* plane) {  // cells outside the image have weight 0, but may hold NaN
                return (x > 0 ? west * plane[cell - 1] : 0.0f) + (x < width - 1 ? east * plane[cell + 1] : 0.0f) +
                       (y > 0 ? north * plane[cell - TILE] : 0.0f) + (y < height - 1 ? south * plane[cell + TILE] : 0.0f);
            };
            const System& s = systems[i];
            float u = shared_u[cell], v = shared_v[cell];
            u += RELAXATION * ((around(shared_u) + s.b1 - v * s.a12) / s.a11 - u);
            v += RELAXATION * ((around(shared_v) + s.b2 - u * s.a12) / s.a22 - v);
            shared_u[cell] = u;
            shared_v[cell] = v;
        }
        __syncthreads();
    }

#pragma unroll
    for (int i = 0; i < CELLS; ++i) {
        const int cell = threadIdx.x + i * THREADS, x = cell % TILE, y = cell / TILE;
        const bool written = x >= MARGIN && x < MARGIN + SIDE && y >= MARGIN && y < MARGIN + SIDE;
        if (!written || !inner(cell)) continue;
        const int at = (top + y) * width + left + x;
        out[at] = shared_u[cell] + (is_last ? motion[at] : 0.0f);
        out[plane + at] = shared_v[cell] + (is_last ? motion[plane + at] : 0.0f);
    }
}

__device__ __forceinline__ void sort_pair(float& low, float& high) {
    const float least = fminf(low, high);
    high = fmaxf(low, high);
    low = least;
}

// The median over the 5 x 5 pixels around each one, of planes [batch][height][width]. Of any 14 of 25 values, neither
// the least nor the greatest is the median: both are replaced by the next value until the rest is known.
extern "C" __global__ void __launch_bounds__(256)
    median(const float* __restrict__ planes, float* __restrict__ out, int height, int width) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const float* plane = planes + (long long)blockIdx.z * height * width;
    const auto value_of = [&](int number) {
        return plane[clamped(y + number / 5 - 2, 0, height - 1) * width + clamped(x + number % 5 - 2, 0, width - 1)];
    };
    float values[14];
#pragma unroll
    for (int i = 0; i < 14; ++i) values[i] = value_of(i);
#pragma unroll
    for (int count = 14; count >= 3; --count) {  // the first `count` values are left; then there are no more
#pragma unroll
        for (int i = 1; i < count; ++i) sort_pair(values[0], values[i]);  // the least comes first
#pragma unroll
        for (int i = 1; i < count - 1; ++i) sort_pair(values[i], values[count - 1]);  // the greatest comes last
        values[0] = count > 3 ? value_of(28 - count) : values[1];
    }
    out[((long long)blockIdx.z * height + y) * width + x] = values[0];
}
