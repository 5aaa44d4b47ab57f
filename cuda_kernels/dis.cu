// Dense inverse search (Kroeger et al. 2016). Reference: streamfx/motion/{patch_search,inverse_search}.py.
// Lumas are float32 [2][height][width] in 0..255: two images that are searched for each other. Motions are float32 in
// pixels, x and y: the first [2] leads from the first image to the second one, the second [2] back.
#include "pixel.cuh"

enum { PATCH = 8, STRIDE = 5, DESCENTS = 4, WARPS = 4 };
constexpr float DAMPING = 16.0f, BETTER = 0.98f, MARGIN = 1.0f;

// Lumas 0..255 of RGB 0..1, reduced to `rows` x `columns`: means over the pixels that a reduced pixel overlaps.
// `current` becomes the first luma, `previous` the second one.
extern "C" __global__ void small_lumas(const Pixel* __restrict__ current, const Pixel* __restrict__ previous,
                                       float* __restrict__ out, int height, int width, int rows, int columns) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= columns || y >= rows) return;
    const long long plane = (long long)height * width;
    const Pixel* image = blockIdx.z ? previous : current;
    const int top = (int)((long long)y * height / rows), left = (int)((long long)x * width / columns);
    const int bottom = (int)(((y + 1LL) * height + rows - 1) / rows);
    const int right = (int)(((x + 1LL) * width + columns - 1) / columns);

    float sum = 0.0f;
    for (int i = top; i < bottom; ++i) {
        const Pixel* line = image + (long long)i * width;
        for (int j = left; j < right; ++j)
            sum += 0.2126f * load(line + j) + 0.7152f * load(line + plane + j) + 0.0722f * load(line + 2 * plane + j);
    }
    const float mean = 255.0f * sum / (float)((bottom - top) * (right - left));
    out[((long long)blockIdx.z * rows + y) * columns + x] = clamped(mean, 0.0f, 255.0f);
}

// The median difference of the first luma from the second one, over every fourth pixel of every fourth row: the bits of
// the result are found from the highest to the lowest by counting. One block.
extern "C" __global__ void __launch_bounds__(1024) median_difference(const float* __restrict__ lumas,
                                                                     float* __restrict__ out, int height, int width) {
    __shared__ int counts[1024], sums[32];
    const int columns = (width + 3) / 4, count = (height + 3) / 4 * columns, self = threadIdx.x;
    unsigned int found = 0u;
    for (int bit = 31; bit >= 0; --bit) {
        const unsigned int trial = found | 1u << bit;
        int below = 0;
        for (int i = self; i < count; i += 1024) {
            const int at = i / columns * 4 * width + i % columns * 4;
            const unsigned int bits = __float_as_uint(lumas[at] - lumas[height * width + at]);
            const unsigned int key = bits >> 31 ? ~bits : bits | 1u << 31;  // in the order of the floats
            below += key < trial ? 1 : 0;
        }
        counts[self] = below;
        __syncthreads();
        if (self < 32) {
            int sum = 0;
            for (int i = 0; i < 32; ++i) sum += counts[32 * i + self];
            sums[self] = sum;
        }
        __syncthreads();
        int total = 0;
        for (int i = 0; i < 32; ++i) total += sums[i];
        if (total <= (count - 1) / 2) found = trial;
    }
    if (self == 0) out[0] = __uint_as_float(found >> 31 ? found & ~(1u << 31) : ~found);
}

// Levels of half the size each, one after the other: [2][(height + s - 1) / s][(width + s - 1) / s] for s = 1, 2, 4, ...
// A pixel is the mean of the pixels of the first level that it covers. `brightness` is added to the second luma.
extern "C" __global__ void pyramid(const float* __restrict__ lumas, const float* __restrict__ brightness,
                                   float* __restrict__ out, int height, int width) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    const int level = blockIdx.z / 2, image = blockIdx.z % 2, side = 1 << level;
    const int rows = (height + side - 1) / side, columns = (width + side - 1) / side;
    if (x >= columns || y >= rows) return;
    for (int finer = 0; finer < level; ++finer) {
        const int s = 1 << finer;
        out += 2LL * ((height + s - 1) / s) * ((width + s - 1) / s);
    }
    const int bottom = min((y + 1) * side, height), right = min((x + 1) * side, width);
    const float* plane = lumas + (long long)image * height * width;
    float sum = 0.0f;
    for (int i = y * side; i < bottom; ++i)
        for (int j = x * side; j < right; ++j) sum += plane[i * width + j];
    const float mean = sum / (float)((bottom - y * side) * (right - x * side));
    out[((long long)image * rows + y) * columns + x] = mean + (image ? brightness[0] : 0.0f);
}

__device__ __forceinline__ int patch_count(int side) { return (side - PATCH + STRIDE - 1) / STRIDE + 1; }
__device__ __forceinline__ int patch_start(int index, int side) { return min(index * STRIDE, side - PATCH); }

// A patch of one image, two of whose pixels belong to each thread of a warp, and its comparison with the other image
struct Patch {
    const float* other;
    int height, width, left, top;
    float luma[2], slope_x[2], slope_y[2], xx, xy, yy, determinant;
    float difference[2], mean;  // of the last cost()

    __device__ __forceinline__ Patch(const float* image, const float* other, int height, int width, int row, int column)
        : other(other), height(height), width(width) {
        top = patch_start(row, height) + (int)threadIdx.x / PATCH;  // of this thread's first pixel
        left = patch_start(column, width) + (int)threadIdx.x % PATCH;
        const int west = max(left - 1, 0), east = min(left + 1, width - 1);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            const int y = top + 4 * i, north = max(y - 1, 0), south = min(y + 1, height - 1);
            luma[i] = image[y * width + left];
            slope_x[i] = 0.5f * (image[y * width + east] - image[y * width + west]);
            slope_y[i] = 0.5f * (image[south * width + left] - image[north * width + left]);
        }
        const float mean_x = warp_sum(slope_x[0] + slope_x[1]) / (PATCH * PATCH);
        const float mean_y = warp_sum(slope_y[0] + slope_y[1]) / (PATCH * PATCH);
#pragma unroll
        for (int i = 0; i < 2; ++i) slope_x[i] -= mean_x, slope_y[i] -= mean_y;
        xx = warp_sum(slope_x[0] * slope_x[0] + slope_x[1] * slope_x[1]);
        yy = warp_sum(slope_y[0] * slope_y[0] + slope_y[1] * slope_y[1]);
        xy = warp_sum(slope_x[0] * slope_y[0] + slope_x[1] * slope_y[1]);
        const float damping = DAMPING + xx + yy;
        xx += damping;
        yy += damping;
        determinant = xx * yy - xy * xy;
    }

    // The sum of squared differences, without their mean, for the motion (u, v)
    __device__ __forceinline__ float cost(float u, float v) {
        int column[2], row[2];
        float across[2], down[2];
        find_taps<2>((float)left + u, width, REPLICATE, column, across);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            find_taps<2>((float)(top + 4 * i) + v, height, REPLICATE, row, down);
            difference[i] = sampled<2>(other, width, column, across, row, down) - luma[i];
        }
        mean = warp_sum(difference[0] + difference[1]) / (PATCH * PATCH);
#pragma unroll
        for (int i = 0; i < 2; ++i) difference[i] -= mean;
        return warp_sum(difference[0] * difference[0] + difference[1] * difference[1]);
    }

    // Gauss-Newton steps; replaces (u, v) by the best motion on the way, and returns its cost
    __device__ __forceinline__ float descend(float& u, float& v) {
        const float start_u = u, start_v = v;
        float at_u = u, at_v = v, best = 1e30f;
#pragma unroll 1
        for (int step = 0; step <= DESCENTS; ++step) {
            const float found = cost(at_u, at_v), far_u = at_u - start_u, far_v = at_v - start_v;
            if (found < best && far_u * far_u + far_v * far_v <= PATCH * PATCH) best = found, u = at_u, v = at_v;
            const float x = warp_sum(slope_x[0] * difference[0] + slope_x[1] * difference[1]);
            const float y = warp_sum(slope_y[0] * difference[0] + slope_y[1] * difference[1]);
            at_u -= (yy * x - xy * y) / determinant;
            at_v -= (xx * y - xy * x) / determinant;
        }
        return best;
    }
};

// The motion and the cost of each patch: out [2][3][rows][columns]. One warp per patch. Without `patches`, the search
// starts from `coarse` [2][2][(height + 1) / 2][(width + 1) / 2], the dense motion at half the size, or from zero.
// With `patches`, the result of the last round, it starts from the best motion among those of the patch and its
// neighbors, and zero.
extern "C" __global__ void __launch_bounds__(32 * WARPS)
    search(const float* __restrict__ lumas, const float* __restrict__ coarse, const float* __restrict__ patches,
           float* __restrict__ out, int height, int width, int has_coarse, int has_patches) {
    const int rows = patch_count(height), columns = patch_count(width), count = rows * columns;
    const int index = blockIdx.x * WARPS + threadIdx.y, z = blockIdx.z;
    const int at = min(index, count - 1), row = at / columns, column = at % columns;  // surplus warps repeat the last
    const long long plane = (long long)height * width;
    Patch patch(lumas + z * plane, lumas + (1 - z) * plane, height, width, row, column);

    float u = 0.0f, v = 0.0f;
    if (has_patches) {
        const float* motion = patches + 3LL * z * count;
        u = motion[at];
        v = motion[count + at];
        float best = motion[2 * count + at];
#pragma unroll 1
        for (int i = 0; i < 5; ++i) {
            const int near_row = clamped(row + (i == 3) - (i == 2), 0, rows - 1);
            const int near_column = clamped(column + (i == 1) - (i == 0), 0, columns - 1);
            const int near = near_row * columns + near_column;
            const float to_u = i < 4 ? motion[near] : 0.0f, to_v = i < 4 ? motion[count + near] : 0.0f;
            const float found = patch.cost(to_u, to_v);
            if (found < BETTER * best - MARGIN) best = found, u = to_u, v = to_v;
        }
    } else if (has_coarse) {
        const int half_rows = (height + 1) / 2, half_columns = (width + 1) / 2, half = half_rows * half_columns;
        const int y = (patch_start(row, height) + PATCH / 2) / 2, x = (patch_start(column, width) + PATCH / 2) / 2;
        const float* motion = coarse + 2LL * z * half + y * half_columns + x;
        u = 2.0f * motion[0];
        v = 2.0f * motion[half];
    }
    const float cost = patch.descend(u, v);
    if (index < count && threadIdx.x == 0) {
        float* to = out + 3LL * z * count + at;
        to[0] = u;
        to[count] = v;
        to[2 * count] = cost;
    }
}

// Dense motion [2][2][height][width]: means over the patches of each pixel, weighted by how well they match it
extern "C" __global__ void densify(const float* __restrict__ lumas, const float* __restrict__ patches,
                                   float* __restrict__ out, int height, int width) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y, z = blockIdx.z;
    if (x >= width || y >= height) return;
    const int rows = patch_count(height), columns = patch_count(width), count = rows * columns;
    const long long plane = (long long)height * width;
    const float* other = lumas + (1 - z) * plane;
    const float luma = lumas[z * plane + y * width + x];
    const float* motion = patches + 3LL * z * count;

    float sum_u = 0.0f, sum_v = 0.0f, weights = 0.0f;
    for (int row = max((y - PATCH + STRIDE) / STRIDE, 0); row < rows; ++row) {
        const int top = patch_start(row, height);
        if (top > y) break;
        if (y >= top + PATCH) continue;
        for (int column = max((x - PATCH + STRIDE) / STRIDE, 0); column < columns; ++column) {
            const int left = patch_start(column, width);
            if (left > x) break;
            if (x >= left + PATCH) continue;
            const float u = motion[row * columns + column], v = motion[count + row * columns + column];
            int at_x[2], at_y[2];
            float across[2], down[2];
            find_taps<2>((float)x + u, width, REPLICATE, at_x, across);
            find_taps<2>((float)y + v, height, REPLICATE, at_y, down);
            const float difference = sampled<2>(other, width, at_x, across, at_y, down) - luma;
            const float weight = 1.0f / fmaxf(fabsf(difference), 1.0f);
            sum_u += weight * u;
            sum_v += weight * v;
            weights += weight;
        }
    }
    out += 2 * z * plane + y * width + x;
    out[0] = sum_u / weights;
    out[plane] = sum_v / weights;
}
