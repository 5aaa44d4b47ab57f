// Optical flow: consistency mask, dense Lucas-Kanade on a pyramid. Reference: streamfx/motion/{flow,lucas_kanade}.py.
// Flows are float32 [2][height][width] in pixels, x and y; lumas are float32 0..255.
#include "pixel.cuh"

// 1 where `backward` and `forward`, both [batch][2][height][width], are consistent, else 0; see consistency_mask in
// streamfx/motion/flow.py
extern "C" __global__ void __launch_bounds__(256)
    consistency_mask(const float* __restrict__ backward, const float* __restrict__ forward, float* __restrict__ out,
                     int height, int width, float outside) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const long long plane = (long long)height * width;
    const int pixel = y * width + x;

    backward += blockIdx.z * 2 * plane;
    forward += blockIdx.z * 2 * plane;
    out += blockIdx.z * plane;

    // the nearby values are loaded first; their latency overlaps the address computation of the distant ones
    const int west = max(x - 1, 0) - x, east = min(x + 1, width - 1) - x;
    const int north = (max(y - 1, 0) - y) * width, south = (min(y + 1, height - 1) - y) * width;
    float slope = 0.0f;
#pragma unroll
    for (int axis = 0; axis < 2; ++axis) {
        const float* at = backward + axis * plane + pixel;
        const float across_slope = 0.5f * (at[east] - at[west]), down_slope = 0.5f * (at[south] - at[north]);
        slope += across_slope * across_slope + down_slope * down_slope;
    }

    const float bx = backward[pixel], by = backward[plane + pixel];
    const float at_x = (float)x + bx, at_y = (float)y + by;
    int column[2], row[2];
    float across[2], down[2];
    find_taps<2>(at_x, width, REPLICATE, column, across);
    find_taps<2>(at_y, height, REPLICATE, row, down);
    const float fx = sampled<2>(forward, width, column, across, row, down);
    const float fy = sampled<2>(forward + plane, width, column, across, row, down);
    const float square = bx * bx + by * by, back_square = fx * fx + fy * fy;
    const bool inconsistent = (bx + fx) * (bx + fx) + (by + fy) * (by + fy) >= 0.01f * (square + back_square) + 0.5f;
    const bool left = at_x < -outside || at_x > (float)(width - 1) + outside || at_y < -outside ||
                      at_y > (float)(height - 1) + outside;
    out[pixel] = inconsistent || left || slope > 0.01f * square + 0.002f ? 0.0f : 1.0f;
}

// BT.709 luma 0..255 [height * width = count] of RGB 0..1
extern "C" __global__ void luma(const Pixel* __restrict__ image, float* __restrict__ out, int count) {
    const int pixel = blockIdx.x * blockDim.x + threadIdx.x;
    if (pixel >= count) return;
    const Pixel *red = image, *green = image + count, *blue = image + 2LL * count;
    out[pixel] = 255.0f * (0.2126f * load(red + pixel) + 0.7152f * load(green + pixel) + 0.0722f * load(blue + pixel));
}

// Means of 2 x 2, or of the existing pixels at odd borders: [height][width] -> [(height + 1) / 2][(width + 1) / 2]
extern "C" __global__ void halve(const float* __restrict__ plane, float* __restrict__ out, int height, int width) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    const int columns = (width + 1) / 2, rows = (height + 1) / 2;
    if (x >= columns || y >= rows) return;

    const float* upper = plane + 2LL * y * width + 2 * x;
    const float* lower = 2 * y + 1 < height ? upper + width : upper;

    float sum;
    if (width % 2 == 0 && aligned<float, 2>(plane)) {
        const Several<float, 2> one = *reinterpret_cast<const Several<float, 2>*>(upper);
        const Several<float, 2> other = *reinterpret_cast<const Several<float, 2>*>(lower);
        sum = (one.value[0] + one.value[1]) + (other.value[0] + other.value[1]);
    } else {
        const int right = 2 * x + 1 < width ? 1 : 0;
        sum = (upper[0] + upper[right]) + (lower[0] + lower[right]);
    }
    out[(long long)y * columns + x] = 0.25f * sum;
}

// Enlarges a flow of half the size, [2][rows = (height + 1) / 2][columns = (width + 1) / 2], to [2][height][width] by
// linear interpolation, and doubles it. One thread per small pixel and its 2 x 2 large ones: a large one is 3/4 of its
// own small pixel and 1/4 of the next one on its side, in both directions.
extern "C" __global__ void enlarge(const float* __restrict__ flow, float* __restrict__ out, int height, int width) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x, j = blockIdx.y * blockDim.y + threadIdx.y;
    const int columns = (width + 1) / 2, rows = (height + 1) / 2;
    if (i >= columns || j >= rows) return;

    const float* plane = flow + (long long)blockIdx.z * rows * columns;
    out += blockIdx.z * (long long)height * width;
    const int west = max(i - 1, 0), east = min(i + 1, columns - 1);
    const bool together = width % 2 == 0 && aligned<float, 2>(out);

    float near[3][2];  // rows above, at and below this one: left and right large pixel
#pragma unroll
    for (int k = 0; k < 3; ++k) {
        const float* line = plane + (long long)clamped(j + k - 1, 0, rows - 1) * columns;
        const float here = 1.5f * line[i];
        near[k][0] = here + 0.5f * line[west];
        near[k][1] = here + 0.5f * line[east];
    }
#pragma unroll
    for (int k = 0; k < 2; ++k) {
        if (2 * j + k >= height) return;
        float* at = out + (2LL * j + k) * width + 2 * i;
        const float left = 0.75f * near[1][0] + 0.25f * near[2 * k][0];
        const float right = 0.75f * near[1][1] + 0.25f * near[2 * k][1];
        if (together) {
            *reinterpret_cast<Several<float, 2>*>(at) = {{left, right}};
        } else {
            at[0] = left;
            if (2 * i + 1 < width) at[1] = right;
        }
    }
}

enum { BLOCK_X = 32, BLOCK_Y = 8, MAX_RADIUS = 5 };
enum { N, X, Y, T, U, V, VALUES, XX = VALUES, XY, YY, XT, YT, SUMS };

// One iteration of dense Lucas-Kanade (Le Besnerais and Champagnat 2005; Plyer et al. 2016): for each pixel, the flow
// that best explains, by least squares over the (2 radius + 1)^2 window, the difference between `other` warped by
// `flow` and `image`, except for a uniform brightness change of the window. `damping` pulls it to the mean flow of the
// window, and it changes by at most `limit` pixels. Blocks of 32 x 8: the values of each pixel are computed once in
// shared memory, then summed along rows and along columns.
extern "C" __global__ void __launch_bounds__(BLOCK_X * BLOCK_Y, 4)
    lucas_kanade(const float* __restrict__ image, const float* __restrict__ other, const float* __restrict__ flow,
                 float* __restrict__ out, int height, int width, int radius, float damping, float limit) {
    __shared__ float values[VALUES][(BLOCK_Y + 2 * MAX_RADIUS) * (BLOCK_X + 2 * MAX_RADIUS)];
    __shared__ float line[SUMS][BLOCK_Y + 2 * MAX_RADIUS][BLOCK_X];
    const int left = blockIdx.x * BLOCK_X, top = blockIdx.y * BLOCK_Y;
    const int self = threadIdx.y * BLOCK_X + threadIdx.x;
    const int columns = BLOCK_X + 2 * radius, rows = BLOCK_Y + 2 * radius;
    const long long plane = (long long)height * width;

    // The flow of the block's first pixel is subtracted, so that sums stay small for large motion.
    const long long corner = (long long)top * width + left;
    const float u0 = flow[corner], v0 = flow[plane + corner];

    for (int cell = self; cell < rows * columns; cell += BLOCK_X * BLOCK_Y) {
        const int x = left - radius + cell % columns, y = top - radius + cell / columns;
        float pixel[VALUES] = {};
        if (x >= 0 && x < width && y >= 0 && y < height) {
            const long long at = (long long)y * width + x;
            const float by_x = flow[at], by_y = flow[plane + at], at_x = (float)x + by_x, at_y = (float)y + by_y;
            if (at_x >= 0.0f && at_x <= (float)(width - 1) && at_y >= 0.0f && at_y <= (float)(height - 1)) {
                int column[2], row[2];
                float across[2], down[2];
                find_taps<2>(at_x, width, REPLICATE, column, across);
                find_taps<2>(at_y, height, REPLICATE, row, down);
                const int west = x > 0 ? 1 : 0, east = x < width - 1 ? 1 : 0;
                const int north = y > 0 ? 1 : 0, south = y < height - 1 ? 1 : 0;
                pixel[X] = (image[at + east] - image[at - west]) / (float)max(1, east + west);
                pixel[Y] = (image[at + south * width] - image[at - north * width]) / (float)max(1, north + south);
                const float difference = sampled<2>(other, width, column, across, row, down) - image[at];
                pixel[N] = 1.0f;
                pixel[U] = by_x - u0;
                pixel[V] = by_y - v0;
                pixel[T] = pixel[X] * pixel[U] + pixel[Y] * pixel[V] - difference;
            }
        }
#pragma unroll
        for (int kind = 0; kind < VALUES; ++kind) values[kind][cell] = pixel[kind];
    }
    __syncthreads();

    for (int cell = self; cell < rows * BLOCK_X; cell += BLOCK_X * BLOCK_Y) {
        const int x = cell % BLOCK_X, y = cell / BLOCK_X;
        float sum[SUMS] = {};
        for (int tap = 0; tap <= 2 * radius; ++tap) {
            const int at = y * columns + x + tap;
            const float gx = values[X][at], gy = values[Y][at], t = values[T][at];
#pragma unroll
            for (int kind = 0; kind < VALUES; ++kind) sum[kind] += values[kind][at];
            sum[XX] += gx * gx;
            sum[XY] += gx * gy;
            sum[YY] += gy * gy;
            sum[XT] += gx * t;
            sum[YT] += gy * t;
        }
#pragma unroll
        for (int kind = 0; kind < SUMS; ++kind) line[kind][y][x] = sum[kind];
    }
    __syncthreads();

    const int x = left + threadIdx.x, y = top + threadIdx.y;
    if (x >= width || y >= height) return;
    const long long at = (long long)y * width + x;
    const float u = flow[at], v = flow[plane + at];
    float sum[SUMS] = {};
    for (int tap = 0; tap <= 2 * radius; ++tap) {
#pragma unroll
        for (int kind = 0; kind < SUMS; ++kind) sum[kind] += line[kind][threadIdx.y + tap][threadIdx.x];
    }
    float to_u = u, to_v = v;
    if (sum[N] > 0.0f) {
#pragma unroll
        for (int kind = 1; kind < SUMS; ++kind) sum[kind] /= sum[N];
        const float xx = sum[XX] - sum[X] * sum[X] + damping, yy = sum[YY] - sum[Y] * sum[Y] + damping;
        const float xy = sum[XY] - sum[X] * sum[Y];
        const float xt = sum[XT] - sum[X] * sum[T] + damping * sum[U];
        const float yt = sum[YT] - sum[Y] * sum[T] + damping * sum[V];
        const float determinant = xx * yy - xy * xy;  // at least damping^2, which is added to a covariance matrix
        to_u = u0 + (yy * xt - xy * yt) / determinant;
        to_v = v0 + (xx * yt - xy * xt) / determinant;
    }
    out[at] = u + clamped(to_u - u, -limit, limit);
    out[plane + at] = v + clamped(to_v - v, -limit, limit);
}
