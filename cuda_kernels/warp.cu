// Move pixels: along a flow, along a flow into another picture, and by a matrix. Twins: ops/warp.py, ops/mix.py.
// One thread a pixel and all its channels; blocks of 32 x 8, so that reads of the flow and writes are coalesced and what
// is fetched for one row of pixels is still in the cache for the next. Each filter has kernels of its own: two taps need
// half of the registers that four do, and what hides the way to the memory is how many threads wait for it.
#include "pixel.cuh"

struct Place {
    int pixel, height, width, border;
};

// The N x N pixels around (at_x, at_y) and their shares
template <int N>
struct Taps {
    int column[N], row[N];
    float across[N], down[N];

    __device__ __forceinline__ Taps(float at_x, float at_y, const Place& place) {
        find_taps<N>(at_x, place.width, place.border, column, across);
        find_taps<N>(at_y, place.height, place.border, row, down);
    }

    __device__ __forceinline__ float operator()(const Pixel* plane, int width) const {
        return sampled<N>(plane, width, column, across, row, down);
    }
};

// The same where all of them lie within the picture: one address tells where they are
template <int N>
struct Inner {
    unsigned int corner;
    float across[N], down[N];

    __device__ __forceinline__ Inner(float at_x, float at_y, const Place& place) {
        const float left = floorf(at_x), top = floorf(at_y);
        find_shares<N>(at_x - left, across);
        find_shares<N>(at_y - top, down);
        corner = (unsigned int)(((int)top - (N / 2 - 1)) * place.width + (int)left - (N / 2 - 1));
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

// What `taps` find in the image, with BLEND over `ground` in its share, to the place's pixel of C channels
template <bool BLEND, int C, typename Found>
__device__ __forceinline__ void put(const Found& taps, const Pixel* image, const Pixel* ground, Pixel* out, float share,
                                    const Place& place, long long plane) {
    float value[C], below[C];
#pragma unroll
    for (int c = 0; c < C; ++c) {
        if (BLEND) below[c] = load(ground + c * plane + place.pixel);
        value[c] = taps(image + c * plane, place.width);
    }
#pragma unroll
    for (int c = 0; c < C; ++c) {
        store(out + c * plane + place.pixel, BLEND ? mixed(below[c], value[c], share) : value[c]);
    }
}

// Of three channels all that is fetched is on its way at once; with four taps one is enough, and registers are not
template <bool BLEND, int N, typename Found>
__device__ __forceinline__ void put_all(const Found& taps, const Pixel* image, const Pixel* ground, Pixel* out,
                                        float share, const Place& place, int channels) {
    const long long plane = (long long)place.height * place.width;
    if (N == 2 && channels == 3) return put<BLEND, 3>(taps, image, ground, out, share, place, plane);
#pragma unroll 1
    for (int c = 0; c < channels; ++c) {
        put<BLEND, 1>(taps, image + c * plane, ground + (BLEND ? c * plane : 0), out + c * plane, share, place, plane);
    }
}

template <bool BLEND, int N>
__device__ __forceinline__ void fetch(const Pixel* image, const Pixel* ground, Pixel* out, float share, float at_x,
                                      float at_y, const Place& place, int channels) {
    const float before = (float)(N / 2 - 1), behind = (float)(N / 2);
    const bool inner = at_x >= before && at_x < (float)place.width - behind && at_y >= before &&
                       at_y < (float)place.height - behind;
    if (N == 4 && inner) {
        put_all<BLEND, N>(Inner<N>(at_x, at_y, place), image, ground, out, share, place, channels);
    } else {
        put_all<BLEND, N>(Taps<N>(at_x, at_y, place), image, ground, out, share, place, channels);
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
    fetch<false, N>(image, nullptr, out, 1.0f, at_x, at_y, {pixel, height, width, border}, channels);
}

template <int N>
__device__ __forceinline__ void into_ground(const Pixel* ground, const Pixel* image, const float* flow,
                                            const float* share, Pixel* out, int channels, int height, int width,
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
    const float at_x = (float)x + flow[pixel], at_y = (float)y + flow[plane + pixel];
    if (part == 0.0f) {
#pragma unroll 1
        for (int c = 0; c < channels; ++c) out[c * plane + pixel] = ground[c * plane + pixel];
        return;
    }
    fetch<true, N>(image, ground, out, part, at_x, at_y, {pixel, height, width, border}, channels);
}

struct Matrix {
    float xx, xy, x1, yx, yy, y1, wx, wy, w1;
};

template <int N>
__device__ __forceinline__ void by_matrix(const Pixel* image, Pixel* out, int channels, int height, int width,
                                          int border, const Matrix& m) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const long long plane = (long long)height * width;
    const int pixel = y * width + x;

    image += blockIdx.z * channels * plane;
    out += blockIdx.z * channels * plane;

    const float across = (float)x, down = (float)y;
    float at_x = m.xx * across + m.xy * down + m.x1, at_y = m.yx * across + m.yy * down + m.y1;
    if (m.wx != 0.0f || m.wy != 0.0f || m.w1 != 1.0f) {
        const float far = m.wx * across + m.wy * down + m.w1;
        at_x /= far;
        at_y /= far;
    }
    fetch<false, N>(image, nullptr, out, 1.0f, at_x, at_y, {pixel, height, width, border}, channels);
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

// The image warped, over `ground` in the share [batch][1][height][width] of each pixel. What has no share is not fetched.
extern "C" __global__ void __launch_bounds__(256)
    warp_blend_bilinear(const Pixel* __restrict__ ground, const Pixel* __restrict__ image,
                        const float* __restrict__ flow, const float* __restrict__ share, Pixel* __restrict__ out,
                        int channels, int height, int width, int border) {
    into_ground<2>(ground, image, flow, share, out, channels, height, width, border);
}

extern "C" __global__ void __launch_bounds__(256)
    warp_blend_bicubic(const Pixel* __restrict__ ground, const Pixel* __restrict__ image,
                       const float* __restrict__ flow, const float* __restrict__ share, Pixel* __restrict__ out,
                       int channels, int height, int width, int border) {
    into_ground<4>(ground, image, flow, share, out, channels, height, width, border);
}

// out at (x, y) is the image at M (x, y, 1), M = {{xx, xy, x1}, {yx, yy, y1}, {wx, wy, w1}} in pixels
extern "C" __global__ void __launch_bounds__(256)
    affine_bilinear(const Pixel* __restrict__ image, Pixel* __restrict__ out, int channels, int height, int width,
                    int border, float xx, float xy, float x1, float yx, float yy, float y1, float wx, float wy,
                    float w1) {
    by_matrix<2>(image, out, channels, height, width, border, {xx, xy, x1, yx, yy, y1, wx, wy, w1});
}

extern "C" __global__ void __launch_bounds__(256)
    affine_bicubic(const Pixel* __restrict__ image, Pixel* __restrict__ out, int channels, int height, int width,
                   int border, float xx, float xy, float x1, float yx, float yy, float y1, float wx, float wy,
                   float w1) {
    by_matrix<4>(image, out, channels, height, width, border, {xx, xy, x1, yx, yy, y1, wx, wy, w1});
}
