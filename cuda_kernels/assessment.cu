// Which areas stand still, and where motion is reliable. Reference: streamfx/motion/assessment.py.
// lumas: float32 [2][height][width] 0..255, the current and the previous image. motion: float32 [2][2][height][width]
// in pixels, x and y, the backward and the forward flow.
#include "pixel.cuh"

enum { BLOCK = 8, STILL = 0, MOVED, TEXTURE, FLOW_X, FLOW_Y, MEANS, WIDENING = 7 };
constexpr float BETTER = 1.3f, DISTINCT = 0.3f, FLOOR = 0.05f, VISIBLE = 0.075f, FAST = 0.5f, SIGMA = 10.0f;
constexpr float SPREAD = 0.1f, MAX_ERROR = 0.125f, MAX_SLOPE = 0.04f, MIN_SLOPE = 0.002f;

struct Image {
    const float* plane;
    int height, width;

    __device__ __forceinline__ float at(int x, int y) const {  // pixels beyond the border equal the outermost ones
        return plane[clamped(y, 0, height - 1) * width + clamped(x, 0, width - 1)];
    }

    __device__ __forceinline__ float between(float at_x, float at_y) const {
        int column[2], row[2];
        float across[2], down[2];
        find_taps<2>(at_x, width, REPLICATE, column, across);
        find_taps<2>(at_y, height, REPLICATE, row, down);
        return sampled<2>(plane, width, column, across, row, down);
    }

    __device__ __forceinline__ float low_pass(int x, int y) const {
        x = clamped(x, 0, width - 1);
        y = clamped(y, 0, height - 1);
        float sum = 0.0f;
#pragma unroll
        for (int i = -1; i <= 1; ++i) sum += at(x - 1, y + i) + at(x, y + i) + at(x + 1, y + i);
        return sum / 9.0f;
    }
};

// Low-passed differences of the images without and with motion, and the squared slope of the low-passed current luma:
// [STILL, MOVED, TEXTURE][height][width]
extern "C" __global__ void __launch_bounds__(256)
    residuals(const float* __restrict__ lumas, const float* __restrict__ motion, float* __restrict__ out, int height,
              int width) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const long long plane = (long long)height * width;
    const Image after = {lumas, height, width}, before = {lumas + plane, height, width};
    float still = 0.0f, moved = 0.0f;
#pragma unroll 1
    for (int i = 0; i < 9; ++i) {
        const int near_x = clamped(x + i % 3 - 1, 0, width - 1), near_y = clamped(y + i / 3 - 1, 0, height - 1);
        const int at = near_y * width + near_x;
        still += lumas[at] - before.plane[at];
        moved += lumas[at] - before.between((float)near_x + motion[at], (float)near_y + motion[plane + at]);
    }
    const float slope_x = 0.5f * (after.low_pass(x + 1, y) - after.low_pass(x - 1, y));
    const float slope_y = 0.5f * (after.low_pass(x, y + 1) - after.low_pass(x, y - 1));
    out += y * width + x;
    out[STILL * plane] = still / 9.0f;
    out[MOVED * plane] = moved / 9.0f;
    out[TEXTURE * plane] = slope_x * slope_x + slope_y * slope_y;
}

// Means over blocks of BLOCK x BLOCK pixels, [MEANS][rows][columns]: squared residuals, texture, backward flow. One warp
// per block.
extern "C" __global__ void block_means(const float* __restrict__ residuals, const float* __restrict__ motion,
                                       float* __restrict__ out, int height, int width) {
    const int columns = (width + BLOCK - 1) / BLOCK, rows = (height + BLOCK - 1) / BLOCK, count = rows * columns;
    const int index = blockIdx.x * blockDim.y + threadIdx.y, at = min(index, count - 1);
    const int left = at % columns * BLOCK, top = at / columns * BLOCK;
    const long long plane = (long long)height * width;
    float sum[MEANS] = {};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
        const int x = left + (int)threadIdx.x % BLOCK, y = top + (int)threadIdx.x / BLOCK + 4 * i;
        if (x >= width || y >= height) continue;
        const float *residual = residuals + y * width + x, *flow = motion + y * width + x;
        sum[STILL] += residual[STILL * plane] * residual[STILL * plane];
        sum[MOVED] += residual[MOVED * plane] * residual[MOVED * plane];
        sum[TEXTURE] += residual[TEXTURE * plane];
        sum[FLOW_X] += flow[0];
        sum[FLOW_Y] += flow[plane];
    }
    const float pixels = (float)(min(BLOCK, width - left) * min(BLOCK, height - top));
#pragma unroll
    for (int kind = 0; kind < MEANS; ++kind) {
        const float mean = warp_sum(sum[kind]) / pixels;
        if (index < count && threadIdx.x == 0) out[kind * count + at] = mean;
    }
}

// 1 where a block moves, 0 where it stands still, [rows][columns], from the means [MEANS][rows][columns], each over the
// 3 x 3 blocks around it. Blocks without texture follow the majority of the textured ones. One block of threads.
extern "C" __global__ void __launch_bounds__(1024)
    moving_blocks(const float* __restrict__ means, float* __restrict__ out, int rows, int columns) {
    __shared__ int votes[1024];
    const int count = rows * columns, self = threadIdx.x;
    int vote = 0;
    for (int at = self; at < count; at += 1024) {
        float mean[MEANS];
#pragma unroll
        for (int kind = 0; kind < MEANS; ++kind) {
            const Image plane = {means + kind * count, rows, columns};
            mean[kind] = plane.low_pass(at % columns, at / columns);
        }
        const bool better = mean[STILL] > BETTER * mean[MOVED] + FLOOR;
        const bool textured = VISIBLE * VISIBLE * mean[TEXTURE] > DISTINCT * mean[MOVED] + FLOOR;
        const bool fast = sqrtf(mean[FLOW_X] * mean[FLOW_X] + mean[FLOW_Y] * mean[FLOW_Y]) > FAST;
        if (textured) vote += better ? -1 : 1;
        out[at] = better || fast ? 1.0f : textured ? 0.0f : 0.5f;  // 0.5: the majority decides
    }
    votes[self] = vote;
    __syncthreads();
    for (int half = 512; half > 0; half /= 2) {
        if (self < half) votes[self] += votes[self + half];
        __syncthreads();
    }
    for (int at = self; at < count; at += 1024)
        if (out[at] == 0.5f) out[at] = votes[0] >= 0 ? 0.0f : 1.0f;
}

// How much a pixel moves, 0..1: linear interpolation between the centers of the blocks
__device__ __forceinline__ float moving_at(const Image& blocks, int x, int y) {
    return blocks.between(((float)x + 0.5f) / BLOCK - 0.5f, ((float)y + 0.5f) / BLOCK - 0.5f);
}

// The backward flow without the motion of still areas, its confidence, and 1 where `dilate` lowers the confidence of
// the pixels around: [x, y, confidence, doubtful][height][width]
extern "C" __global__ void __launch_bounds__(256)
    check_flow(const float* __restrict__ residuals, const float* __restrict__ motion, const float* __restrict__ blocks,
               const float* __restrict__ brightness, float* __restrict__ out, int height, int width, float outside) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const long long plane = (long long)height * width;
    const int pixel = y * width + x;
    const Image block_image = {blocks, (height + BLOCK - 1) / BLOCK, (width + BLOCK - 1) / BLOCK};
    const Image flow[2] = {{motion, height, width}, {motion + plane, height, width}};
    const Image forward[2] = {{motion + 2 * plane, height, width}, {motion + 3 * plane, height, width}};

    const float moving = moving_at(block_image, x, y);
    const int west = max(x - 1, 0), east = min(x + 1, width - 1), north = max(y - 1, 0), south = min(y + 1, height - 1);
    const float at_west = moving_at(block_image, west, y), at_east = moving_at(block_image, east, y);
    const float at_north = moving_at(block_image, x, north), at_south = moving_at(block_image, x, south);
    float slopes = 0.0f, divergence = 0.0f;
#pragma unroll
    for (int axis = 0; axis < 2; ++axis) {
        const float* part = flow[axis].plane;
        const float across = 0.5f * (part[y * width + east] * at_east - part[y * width + west] * at_west);
        const float down = 0.5f * (part[south * width + x] * at_south - part[north * width + x] * at_north);
        slopes += across * across + down * down;
        divergence += axis ? down : across;
    }
    const float raw_u = motion[pixel], raw_v = motion[plane + pixel], u = raw_u * moving, v = raw_v * moving;
    const float back_u = forward[0].between((float)x + raw_u, (float)y + raw_v) * moving;
    const float back_v = forward[1].between((float)x + raw_u, (float)y + raw_v) * moving;
    const float square = u * u + v * v, back_square = back_u * back_u + back_v * back_v;
    const float difference = (u + back_u) * (u + back_u) + (v + back_v) * (v + back_v);
    const bool inconsistent = difference >= 0.01f * (square + back_square) + MAX_ERROR;
    const float at_x = (float)x + u, at_y = (float)y + v;
    const bool left = at_x < -outside || at_x > (float)(width - 1) + outside || at_y < -outside ||
                      at_y > (float)(height - 1) + outside;
    const bool edge = slopes > MAX_SLOPE * square + MIN_SLOPE;

    const float still = residuals[STILL * plane + pixel], moved = residuals[MOVED * plane + pixel];
    const float residual = (still + (moved - still) * moving + brightness[0]) / SIGMA;
    out[pixel] = u;
    out[plane + pixel] = v;
    out[2 * plane + pixel] = inconsistent || left || edge ? 0.0f : expf(-residual * residual);
    out[3 * plane + pixel] = inconsistent || -divergence > SPREAD ? 1.0f : 0.0f;
}

// The result of `check_flow` with confidence 0 around doubtful pixels, and the flow in pixels of the full size:
// [x, y, confidence][height][width]
extern "C" __global__ void __launch_bounds__(256)
    dilate(const float* __restrict__ checked, float* __restrict__ out, int height, int width, float scale_x,
           float scale_y) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const long long plane = (long long)height * width;
    const int pixel = y * width + x;
    bool doubtful = false;
#pragma unroll
    for (int j = -(WIDENING / 2); j <= WIDENING / 2; ++j) {
        const int reach = j * j == 9 ? 0 : j * j == 4 ? 2 : 3;  // the ellipse of cv2.MORPH_ELLIPSE
        for (int i = -reach; i <= reach; ++i) {
            const int near_x = x + i, near_y = y + j;
            if (near_x < 0 || near_x >= width || near_y < 0 || near_y >= height) continue;
            doubtful |= checked[3 * plane + near_y * width + near_x] > 0.5f;
        }
    }
    out[pixel] = checked[pixel] * scale_x;
    out[plane + pixel] = checked[plane + pixel] * scale_y;
    out[2 * plane + pixel] = doubtful ? 0.0f : checked[2 * plane + pixel];
}
