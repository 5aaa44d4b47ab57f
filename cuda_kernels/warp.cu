// Move pixels: along a flow, along a flow into another picture, and by a matrix. Twins: ops/warp.py, ops/mix.py.
// One thread a pixel and all its channels; blocks of 32 x 8, so that reads of the flow and writes are coalesced and what
// is fetched for one row of pixels is still in the cache for the next.
#include "pixel.cuh"

template <int N>
__device__ __forceinline__ void fetch(const Pixel* image, const Pixel* ground, Pixel* out, float share, float at_x,
                                      float at_y, int pixel, int channels, int height, int width, int border) {
    int column[N], row[N];
    float across[N], down[N];
    find_taps<N>(at_x, width, border, column, across);
    find_taps<N>(at_y, height, border, row, down);
    const long long plane = (long long)height * width;
#pragma unroll 1  // what lies in flight of one channel is enough, and registers are not
    for (int c = 0; c < channels; ++c) {
        float value = sampled<N>(image + c * plane, width, column, across, row, down);
        if (ground) value = mixed(load(ground + c * plane + pixel), value, share);
        store(out + c * plane + pixel, value);
    }
}

// image, out [batch][channels][height][width]; flow [batch][2][height][width]: out at p is the image at p + flow(p)
extern "C" __global__ void __launch_bounds__(256, 3) warp(const Pixel* __restrict__ image, const float* __restrict__ flow,
                                Pixel* __restrict__ out, int channels, int height, int width, int cubic, int border) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const long long plane = (long long)height * width;
    const int pixel = y * width + x;

    image += blockIdx.z * channels * plane;
    out += blockIdx.z * channels * plane;
    flow += blockIdx.z * 2 * plane;

    const float at_x = (float)x + flow[pixel], at_y = (float)y + flow[plane + pixel];
    if (cubic) {
        fetch<4>(image, nullptr, out, 1.0f, at_x, at_y, pixel, channels, height, width, border);
    } else {
        fetch<2>(image, nullptr, out, 1.0f, at_x, at_y, pixel, channels, height, width, border);
    }
}

// The image warped, over `ground` in the share [batch][1][height][width] of each pixel. What has no share is not fetched.
extern "C" __global__ void __launch_bounds__(256, 3) warp_blend(const Pixel* __restrict__ ground, const Pixel* __restrict__ image,
                                      const float* __restrict__ flow, const float* __restrict__ share,
                                      Pixel* __restrict__ out, int channels, int height, int width, int cubic,
                                      int border) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const long long plane = (long long)height * width;
    const int pixel = y * width + x;

    ground += blockIdx.z * channels * plane;
    image += blockIdx.z * channels * plane;
    out += blockIdx.z * channels * plane;
    flow += blockIdx.z * 2 * plane;

    const float part = share[blockIdx.z * plane + pixel];
    if (part == 0.0f) {
#pragma unroll 1
        for (int c = 0; c < channels; ++c) out[c * plane + pixel] = ground[c * plane + pixel];
        return;
    }
    const float at_x = (float)x + flow[pixel], at_y = (float)y + flow[plane + pixel];
    if (cubic) {
        fetch<4>(image, ground, out, part, at_x, at_y, pixel, channels, height, width, border);
    } else {
        fetch<2>(image, ground, out, part, at_x, at_y, pixel, channels, height, width, border);
    }
}

// out at (x, y) is the image at M (x, y, 1), M = {{xx, xy, x1}, {yx, yy, y1}, {wx, wy, w1}} in pixels
extern "C" __global__ void __launch_bounds__(256, 3) affine(const Pixel* __restrict__ image, Pixel* __restrict__ out, int channels, int height,
                                  int width, int cubic, int border, float xx, float xy, float x1, float yx, float yy,
                                  float y1, float wx, float wy, float w1) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const long long plane = (long long)height * width;
    const int pixel = y * width + x;

    image += blockIdx.z * channels * plane;
    out += blockIdx.z * channels * plane;

    const float across = (float)x, down = (float)y;
    float at_x = xx * across + xy * down + x1, at_y = yx * across + yy * down + y1;
    if (wx != 0.0f || wy != 0.0f || w1 != 1.0f) {
        const float far = wx * across + wy * down + w1;
        at_x /= far;
        at_y /= far;
    }
    if (cubic) {
        fetch<4>(image, nullptr, out, 1.0f, at_x, at_y, pixel, channels, height, width, border);
    } else {
        fetch<2>(image, nullptr, out, 1.0f, at_x, at_y, pixel, channels, height, width, border);
    }
}
