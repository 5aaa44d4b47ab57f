// Warp images by a flow. Reference: streamfx/ops/warp.py.
// One thread per pixel, for all channels; blocks of 32 x 8, so that flow reads and writes are coalesced and pixels
// fetched for one row are still cached for the next. Each filter has separate kernels: two taps need half the registers
// of four, which allows more threads to hide the memory latency.
#include "pixel.cuh"

struct Target {
    int pixel, height, width, border;
};

// The N x N pixels around (at_x, at_y) and their weights
template <int N>
struct Taps {
    int column[N], row[N];
    float across[N], down[N];

    __device__ __forceinline__ Taps(float at_x, float at_y, const Target& target) {
        find_taps<N>(at_x, target.width, target.border, column, across);
        find_taps<N>(at_y, target.height, target.border, row, down);
    }

    __device__ __forceinline__ float operator()(const Pixel* plane, int width) const {
        return sampled<N>(plane, width, column, across, row, down);
    }
};

// The same for N x N pixels that are all inside the image, which need only one address
template <int N>
struct Inner {
    unsigned int corner;
    float across[N], down[N];

    __device__ __forceinline__ Inner(float at_x, float at_y, const Target& target) {
        const float left = floorf(at_x), top = floorf(at_y);
        find_shares<N>(at_x - left, across);
        find_shares<N>(at_y - top, down);
        corner = (unsigned int)(((int)top - (N / 2 - 1)) * target.width + (int)left - (N / 2 - 1));
    }

    __device__ __forceinline__ float operator()(const Pixel* plane, int width) const {
        const Pixel* line = plane + corner;
        float sum = 0.0f;
#pragma unroll
        for (int y = 0; y < N; ++y, line += width) {
            float value = 0.0f;
#pragma unroll
            for (int x = 0; x < N; ++x) value += across[x] * load(line + x);
            sum += down[y] * value;
        }
        return sum;
    }
};

// Writes C channels of the pixel `target`
template <int C, typename Sampler>
__device__ __forceinline__ void write_pixel(const Sampler& taps, const Pixel* image, Pixel* out, const Target& target,
                                            long long plane) {
    float value[C];
#pragma unroll
    for (int c = 0; c < C; ++c) value[c] = taps(image + c * plane, target.width);
#pragma unroll
    for (int c = 0; c < C; ++c) store(out + c * plane + target.pixel, value[c]);
}

// With two taps, three channels are fetched at once. With four, there are not enough registers for that, and one
// channel hides the latency
template <int N, typename Sampler>
__device__ __forceinline__ void write_channels(const Sampler& taps, const Pixel* image, Pixel* out,
                                               const Target& target, int channels) {
    const long long plane = (long long)target.height * target.width;
    if (N == 2 && channels == 3) return write_pixel<3>(taps, image, out, target, plane);
#pragma unroll 1
    for (int c = 0; c < channels; ++c) write_pixel<1>(taps, image + c * plane, out + c * plane, target, plane);
}

template <int N>
__device__ __forceinline__ void fetch(const Pixel* image, Pixel* out, float at_x, float at_y, const Target& target,
                                      int channels) {
    const float before = (float)(N / 2 - 1), after = (float)(N / 2);
    const bool inner = at_x >= before && at_x < (float)target.width - after && at_y >= before &&
                       at_y < (float)target.height - after;
    if (N == 4 && inner) {
        write_channels<N>(Inner<N>(at_x, at_y, target), image, out, target, channels);
    } else {
        write_channels<N>(Taps<N>(at_x, at_y, target), image, out, target, channels);
    }
}

template <int N>
__device__ __forceinline__ void along_flow(const Pixel* image, const float* flow, Pixel* out, int channels, int height,
                                           int width, int border) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const long long plane = (long long)height * width;
    const int pixel = y * width + x;

    image += blockIdx.z * channels * plane;
    out += blockIdx.z * channels * plane;
    flow += blockIdx.z * 2 * plane;

    const float at_x = (float)x + flow[pixel], at_y = (float)y + flow[plane + pixel];
    fetch<N>(image, out, at_x, at_y, {pixel, height, width, border}, channels);
}

// image, out [batch][channels][height][width]; flow [batch][2][height][width]: out at p is the image at p + flow(p)
extern "C" __global__ void __launch_bounds__(256)
    warp_bilinear(const Pixel* __restrict__ image, const float* __restrict__ flow, Pixel* __restrict__ out,
                  int channels, int height, int width, int border) {
    along_flow<2>(image, flow, out, channels, height, width, border);
}

extern "C" __global__ void __launch_bounds__(256)
    warp_bicubic(const Pixel* __restrict__ image, const float* __restrict__ flow, Pixel* __restrict__ out,
                 int channels, int height, int width, int border) {
    along_flow<4>(image, flow, out, channels, height, width, border);
}
